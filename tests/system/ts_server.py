"""An MPEG-TS sender over TCP with a test frame and a tone. Run by the system's Python, which has GStreamer's bindings."""

import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

Gst.init(None)
pipeline = Gst.parse_launch(
    "mpegtsmux name=mux ! tcpserversink host=127.0.0.1 port=" + sys.argv[1] + " "
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1 ! "
    "x264enc tune=zerolatency key-int-max=25 ! h264parse config-interval=-1 ! mux. "
    "audiotestsrc is-live=true freq=440 ! audio/x-raw,rate=48000,channels=1 ! twolamemp2enc ! mpegaudioparse ! mux."
)
pipeline.set_state(Gst.State.PLAYING)
if pipeline.get_state(5 * Gst.SECOND)[0] == Gst.StateChangeReturn.FAILURE:
    sys.exit("the pipeline does not start")
print("ready", flush=True)
GLib.MainLoop().run()
