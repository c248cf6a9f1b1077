#!/bin/sh
# Installs the Debian packages that the tests in tests/system need. They run real components: PulseAudio, GStreamer's RTSP
# server, mosquitto. Needs root (or sudo); does nothing where all are there.
set -eu
PACKAGES="pulseaudio pulseaudio-utils libportaudio2 libasound2-plugins mosquitto python3-gi gir1.2-gst-rtsp-server-1.0
gstreamer1.0-rtsp gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"
missing=""
for package in $PACKAGES; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
$sudo apt-get update -q
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -q -y --no-install-recommends $missing
