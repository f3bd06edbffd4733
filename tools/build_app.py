"""Build the desktop app as one folder with PyInstaller: ``python tools/build_app.py [--check] [--out FOLDER]``.

PyInstaller is not a dependency of the project: first ``pip install pyinstaller`` into an environment, one without torch
unless the app is to include it. The folder ``dist/portrait-animate`` then runs on the same operating system without
Python: ``portrait-animate`` opens the window, or acts as the command line if given arguments. PyInstaller builds for
the system that it runs on; see docs/gui.md for Windows and macOS.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "portrait-animate"
ENTRY = """import sys
if sys.argv[1:3] == ["-m", "app.jobs"]:  # a process of the queue
    from app.jobs.runner import main
    sys.exit(main(sys.argv[3:]))
if sys.argv[1:3] == ["-m", "app.media.transmitter"]:  # sends a live stream
    from app.media.transmitter import main
    sys.exit(main())
from app.cli.main import main
sys.exit(main(sys.argv[1:] or ["gui"]))
"""
PACKAGES = ("app", "liveportrait", "models")  # modules are imported by name at run time
LEFT_OUT = (
    "tkinter", "matplotlib", "IPython", "pytest", "skimage", "scipy", "pandas", "ray", "tensorrt", "tensorrt_rtx",
    "PySide6.QtQml", "PySide6.QtQuick", "PySide6.QtQuickWidgets", "PySide6.QtQuick3D", "PySide6.QtDesigner",
    "PySide6.QtHelp", "PySide6.QtSql", "PySide6.QtTest", "PySide6.QtUiTools", "PySide6.QtOpenGL",
    "PySide6.QtOpenGLWidgets", "PySide6.QtPrintSupport", "PySide6.QtConcurrent", "PySide6.QtXml",
)  # fmt: skip
NETWORKS = ("torch", "torchvision", "onnx", "onnxscript", "openvino")
DISTRIBUTIONS = (
    "portrait-animate", "numpy", "av", "imageio", "pillow", "onnxruntime", "PySide6-Essentials", "click", "rich",
    "pydantic", "platformdirs", "huggingface-hub", "opencv-python-headless",
)  # fmt: skip


def data_files() -> list[tuple[Path, str]]:
    """Data files to include, each with its folder inside the app."""
    found = [(path, path.parent) for path in (ROOT / "assets").rglob("*") if path.is_file()]
    found += [
        (path, path.parent) for kind in ("qss", "svg", "ts", "html") for path in (ROOT / "app").rglob(f"*.{kind}")
    ]
    return [
        (path, folder.relative_to(ROOT).as_posix()) for path, folder in sorted(found) if "__pycache__" not in path.parts
    ]


def icon_file(folder: Path) -> Path:
    """The icon in a format that PyInstaller accepts on every system (it converts it with Pillow)."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtGui import QGuiApplication, QImage, QPainter
    from PySide6.QtSvg import QSvgRenderer

    application = QGuiApplication.instance() or QGuiApplication([])
    image = QImage(256, 256, QImage.Format.Format_ARGB32)
    image.fill(0)
    painter = QPainter(image)
    QSvgRenderer(str(ROOT / "assets" / "icons" / f"{NAME}.svg")).render(painter)
    painter.end()
    path = folder / f"{NAME}.png"
    image.save(str(path))
    del application
    return path


def command(work: Path, out: Path, with_torch: bool) -> list[str]:
    """The PyInstaller command."""
    entry = work / "portrait_animate_entry.py"
    entry.write_text(ENTRY, encoding="utf-8")
    parts = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--onedir", "--name", NAME]
    parts += ["--distpath", str(out), "--workpath", str(work / "work"), "--specpath", str(work)]
    parts += ["--paths", str(ROOT), "--icon", str(icon_file(work))]
    for path, folder in data_files():
        parts += ["--add-data", f"{path}{os.pathsep}{folder}"]
    for package in PACKAGES:
        parts += ["--collect-submodules", package]
    for distribution in DISTRIBUTIONS:
        parts += ["--copy-metadata", distribution]
    for module in LEFT_OUT + (() if with_torch else NETWORKS):
        parts += ["--exclude-module", module]
    if sys.platform != "linux":
        parts += ["--windowed"]
    return [*parts, str(entry)]


def trim(folder: Path) -> None:
    """Remove Qt's translations for other languages and its unused plug-ins."""
    for path in folder.rglob("qtbase_*.qm"):
        if path.stem != "qtbase_de":
            path.unlink()
    for path in folder.rglob("*.qm"):
        if not path.stem.startswith("qtbase_"):
            path.unlink()


def size_of(folder: Path) -> float:
    """Megabytes in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def check(program: Path) -> int:
    """Run the built app: its version, its doctor, and its window with a screenshot."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    if sys.platform == "linux" and not environment.get("DISPLAY"):
        environment["QT_QPA_PLATFORM"] = "offscreen"
    with tempfile.TemporaryDirectory() as folder:
        environment["PORTRAIT_ANIMATE_CONFIG"] = folder
        shot = Path(folder) / "window.png"
        sample = ROOT / "assets" / "sample"
        batch = ["batch", "--sources", str(sample / "portrait.jpg"), "--drivings", str(sample / "driving.mp4")]
        batch += ["-o", "out.mp4", "--queue", "queue.sqlite3", "--cache", "cache"]
        for arguments in (["--version"], batch, ["gui", "--screenshot", str(shot), "--size", "1280x800"]):
            done = subprocess.run(
                [program, *arguments], env=environment, cwd=folder, check=False, timeout=180, capture_output=True,
                text=True,
            )  # fmt: skip
            print(f"{program.name} {' '.join(arguments)}: exit code {done.returncode} {done.stdout.strip()}")
            if done.returncode:
                print(done.stderr)
                return 1
        if not shot.is_file() or shot.stat().st_size < 50_000:
            print("The window saved no screenshot.")
            return 1
        shutil.copyfile(shot, program.parent.parent / f"{NAME}-window.png")
    return 0


def main() -> int:
    """Build, and check if requested."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the result")
    parser.add_argument("--check", action="store_true", help="start the built app afterwards")
    parser.add_argument("--with-torch", action="store_true", help="carry torch, for the LivePortrait networks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="build-app-") as folder:
        code = subprocess.run(command(Path(folder), options.out, options.with_torch), check=False).returncode
    if code:
        return code
    result = options.out / NAME
    shutil.copyfile(ROOT / "assets" / "icons" / f"{NAME}.desktop", result / f"{NAME}.desktop")
    shutil.copyfile(ROOT / "assets" / "icons" / f"{NAME}.svg", result / f"{NAME}.svg")
    trim(result)
    print(f"{result}: {size_of(result):.0f} MB")
    suffix = ".exe" if sys.platform == "win32" else ""
    return check(result / f"{NAME}{suffix}") if options.check else 0


if __name__ == "__main__":
    sys.exit(main())
