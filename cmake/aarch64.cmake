# Toolchain file: builds for aarch64 Linux on another processor, with Debian's package g++-aarch64-linux-gnu.
# Used by make wheel-aarch64 and make test-aarch64.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
