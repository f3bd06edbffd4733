"""The HTTP server of `animate serve`: jobs on the queue, edited images and live sessions for programs and browsers.

It needs the extra ``server`` (FastAPI and uvicorn). docs/server.md describes the interface.
"""
