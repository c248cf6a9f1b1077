#!/bin/sh
# Installs the Debian packages that the tests in tests/system need, and fails unless every component then answers. They run
# real components: PulseAudio, PortAudio, GStreamer's RTSP server, mosquitto, Chromium. Needs root (or sudo) where something is missing.
set -eu
PACKAGES="pulseaudio pulseaudio-utils libportaudio2 libasound2-plugins mosquitto python3-gi gir1.2-gst-rtsp-server-1.0
gstreamer1.0-rtsp gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
chromium chromium-driver"
missing=""
for package in $PACKAGES; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -q
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -q -y --no-install-recommends $missing
fi

absent=""
for program in pulseaudio paplay mosquitto chromium chromedriver; do
    PATH="$PATH:/usr/sbin:/usr/bin" command -v "$program" >/dev/null || absent="$absent $program"
done
/sbin/ldconfig -p | grep -q 'libportaudio\.so\.2' || absent="$absent libportaudio.so.2"
find /usr/lib -name 'libasound_module_pcm_pulse.so' 2>/dev/null | grep -q . || absent="$absent ALSA-to-PulseAudio"
/usr/bin/python3 - <<'PYTHON' || absent="$absent GStreamer"
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer

Gst.init(None)
elements = ("x264enc", "rtph264pay", "alawenc", "rtppcmapay", "mpegtsmux", "tcpserversink")
absent = [name for name in elements if Gst.ElementFactory.find(name) is None]
sys.exit(f"GStreamer lacks {', '.join(absent)}" if absent else 0)
PYTHON
if [ -n "$absent" ]; then
    echo "missing for the system tests:$absent" >&2
    exit 1
fi
