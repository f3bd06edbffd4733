"""Starts the command line: the console scripts and ``python -m portrait_animate`` lead here.

Nothing else has this name, so that a package of somebody else that is called app, models or assets can be named here
instead of being run. Before anything slow is imported, Ctrl-C and SIGTERM end the program at once, with the
documented exit code and one sentence; :func:`disarm` hands them over to whoever stops work in good order.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

STOPPED = 4  # app.errors.ExitCode.CANCELLED; app is not imported yet
MISSING = 6
STOPPED_LINE = '{"schema": 1, "event": "error", "message": "Stopped.", "exit_code": 4, "hint": ""}'


def stop_at_once(_number: int, _frame: FrameType | None) -> None:
    """Signal handler of the time in which nothing has been made yet: say so and end.

    An exception would be lost where it is raised in a callback of the import system or of a library.
    """
    if "--json" in sys.argv:
        _write(1, STOPPED_LINE)
    _write(2, "animate: error: Stopped.")
    os._exit(STOPPED)


def _write(stream: int, line: str) -> None:
    try:
        os.write(stream, f"{line}\n".encode())
    except OSError:  # nobody reads it
        return


def arm() -> None:
    """Let Ctrl-C and SIGTERM end the program at once, where they are not ignored (nohup, a background job)."""
    for kind, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(kind) == usual:
            signal.signal(kind, stop_at_once)


def disarm() -> None:
    """Give the signals back to Python: from here on there is work that has to be tidied up."""
    for kind, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(kind) is stop_at_once:
            signal.signal(kind, usual)


def main() -> int:
    """Run the command line and end with its exit code."""
    try:
        arm()
        fault = foreign_package()
        if fault:
            _write(2, f"animate: error: {fault}")
            return MISSING
        from app import loading
        from app.cli.main import main as run
    except KeyboardInterrupt:  # came before arm
        stop_at_once(signal.SIGINT, None)
    loading.leave(run())


def gui() -> int:
    """Start the window: ``animate gui``."""
    sys.argv.insert(1, "gui")
    return main()


def foreign_package() -> str:
    """A sentence on a package that is not ours but found under the name of one of ours; empty if there is none."""
    here = os.path.dirname(os.path.realpath(__file__))
    first = os.path.realpath(sys.path[0]) if sys.path else here
    if first != here and first == os.path.realpath(os.curdir):  # python -m portrait_animate
        del sys.path[0]
    try:
        from liveportrait import packages
    except ImportError as error:  # another liveportrait, or one that has found other models
        return str(error) if getattr(error, "foreign", False) else f"{here} is not whole: {error}. Install it again."
    if os.path.realpath(str(packages.ROOT)) != here and not getattr(sys, "frozen", False):
        return (
            f"Python finds another liveportrait, {packages.ROOT / 'liveportrait'}, before the one of this program, "
            f"{os.path.join(here, 'liveportrait')}. Rename it, or take its folder off PYTHONPATH."
        )
    packages.make_path_safe()
    try:
        packages.check()
    except ImportError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    sys.exit(main())
