"""Bokeh's own client changes a field of a document and prints the answer: `python bokeh_client.py URL TOKEN`."""

import sys

from bokeh.client import pull_session

arguments = {"access_token": sys.argv[2]} if sys.argv[2:] else None
with pull_session(url=sys.argv[1], arguments=arguments) as session:
    session.document.get_model_by_name("field").value = "grüße " * 10_000
    session.force_roundtrip()
    session.pull()
    print(session.document.get_model_by_name("said").text.count("GRÜSSE"))
