"""The page of the server in a real browser: upload, render, sliders, camera."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "assets" / "sample"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")


@pytest.fixture
def browser(tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("Chromium and its driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ("--headless=new", f"--user-data-dir={tmp_path / 'profile'}", *QUIET, *CAMERA):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield found
    found.quit()


@pytest.fixture
def address(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "portrait_animate", "serve", "--port", str(port), "--folder", str(tmp_path / "s")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as server:
        assert server.stdout.readline().startswith(b"Serving on")
        yield f"http://127.0.0.1:{port}/"
        server.terminate()


def test_the_page_renders_poses_and_plays_the_camera(browser, address):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    def wait(condition, seconds=120):
        return WebDriverWait(browser, seconds, 0.2).until(lambda _: condition())

    def answers() -> bool:
        try:
            return urllib.request.urlopen(address + "health").status == 200
        except urllib.error.URLError:  # it has not begun to listen
            return False

    wait(answers)
    browser.get(address)
    for box, name in zip(
        browser.find_elements(By.CSS_SELECTOR, "input[type=file]"), ("portrait.jpg", "driving.mp4"), strict=True
    ):
        box.send_keys(str(SAMPLE / name))
    preview, button = browser.find_element(By.ID, "preview"), browser.find_element(By.ID, "animate")
    wait(lambda: preview.get_attribute("src"))
    first = preview.get_attribute("src")
    browser.execute_script(
        "const i = document.querySelector('[name=smile]'); i.value = 1; i.dispatchEvent(new Event('input'))"
    )
    wait(lambda: preview.get_attribute("src") != first)
    wait(button.is_enabled)
    button.click()
    clip = wait(lambda: browser.find_elements(By.CSS_SELECTOR, "#result video"))[0]
    wait(lambda: browser.execute_script("return arguments[0].videoWidth > 100 && arguments[0].duration > 1", clip))
    second = preview.get_attribute("src")
    browser.find_element(By.ID, "camera").click()
    wait(lambda: preview.get_attribute("src") != second)
    browser.find_element(By.ID, "camera").click()
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
