"""edgeaff: apparent valence and arousal from camera and microphone, on the device, 30 times a second."""
