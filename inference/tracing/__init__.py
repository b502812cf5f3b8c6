"""Where a request has been, and for how long: spans of OpenTelemetry, from the door to the engine.

They are off unless FOREBAY_TRACES says `on`. Then a process has a `Recorder` from its start on
(config/tracing.py), and only then is anything of OpenTelemetry imported: `recorder.py` is the one
module that does.
"""
