"""The laboratory: scripts that measure, and what they share; results/ holds what they wrote. Not in the wheel."""
