"""Spans of OpenTelemetry for the steps of a request, from the front end to the engine.

They are off unless FOREBAY_TRACES is `on`. Then a process has a `Recorder` from its start
(config/tracing.py), and only then anything of OpenTelemetry is imported, by `recorder.py` alone.
"""
