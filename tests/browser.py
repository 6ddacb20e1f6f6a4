"""Chromium without a window, driven through its DevTools protocol: a page as a reader's browser shows it."""

import base64
import itertools
import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from websockets.sync.client import connect

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

_PATIENCE = 600
"""Seconds for any single answer: the machine may be busy."""


class Browser:
    """One tab. `troubles` collects console errors, exceptions and requests that failed; `requests` every address."""

    def __init__(self, socket):
        self.socket, self.numbers = socket, itertools.count(1)
        self.troubles, self.requests, self.seen = [], [], set()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := self._receive()).get("id") != number:
            pass
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def _receive(self):
        message = json.loads(self.socket.recv(timeout=_PATIENCE))
        method, about = message.get("method"), message.get("params", {})
        self.seen.add(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif method in ("Runtime.exceptionThrown", "Network.loadingFailed"):
            self.troubles.append(about)
        elif method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.troubles.append(about["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.troubles.append(about)
        return message

    def open(self, page, width, height=900, scheme="light"):
        """Load a file or an address in a window of this size [CSS pixels]; a narrow one is a telephone's."""
        self.look(width, height, scheme)
        self.seen.discard("Page.loadEventFired")
        address = page if str(page).startswith(("http:", "file:", "about:")) else Path(page).absolute().as_uri()
        self.call("Page.navigate", url=address)
        while "Page.loadEventFired" not in self.seen:
            self._receive()

    def look(self, width, height=900, scheme="light"):
        """Another window for the page that is open."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def looks(self, folder, name):
        """Show the page that is open on a desk and on a telephone, light and dark, and keep a picture of each; gives
        its width [CSS pixels], its scheme, and the picture's file."""
        folder.mkdir(parents=True, exist_ok=True)
        for width, scheme in itertools.product((1280, 390), ("light", "dark")):
            self.look(width, scheme=scheme)
            self.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            file = folder / f"{name}-{width}-{scheme}.png"
            self.shoot(file)
            yield width, scheme, file

    def visit(self, page, width=1280, scheme="light", ready="globalThis.safepursuit"):
        """Load a page anew, with nothing collected before, and wait until it is ready or tells of trouble."""
        self.open("about:blank", width)
        self.troubles.clear()
        self.requests.clear()
        self.open(page, width, scheme=scheme)
        self.until(f"{ready} || document.querySelector('.trouble')")

    def until(self, condition):
        """Wait until an expression of the page is true."""
        self.ask(f"new Promise(done => (function look() {{ ({condition}) ? done(0) : setTimeout(look, 20) }})())")

    def touch(self, *places):
        """Put a finger down at the first of these places [CSS pixels], move it over the others, and lift it."""
        for number, (x, y) in enumerate(places):
            kind = "touchMove" if number else "touchStart"
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def drag(self, *places):
        """The same with a mouse."""
        kinds = ["mousePressed", *["mouseMoved"] * (len(places) - 1), "mouseReleased"]
        for kind, (x, y) in zip(kinds, [*places, places[-1]], strict=True):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def ask(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, *keys):
        """Press and release keys by their names, such as "ArrowRight"."""
        for key in keys:
            text = {"text": key} if len(key) == 1 else {}
            for kind in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, key=key, **(text if kind == "keyDown" else {}))

    def shoot(self, file, first=0, height=None):
        """A picture of the page, of all of it unless a part is asked for."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": first, "width": size["width"], "height": height or size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(profile):
    """A running browser with a profile of its own in this folder."""
    command = [PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]
    command += [f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # Without pings: a page that is busy does not answer them, and their random numbers disturb Hypothesis.
        settings = {"max_size": None, "open_timeout": _PATIENCE, "ping_interval": None, "proxy": None}
        with connect(_tab(*_listening(profile, process)), **settings) as socket:
            yield Browser(socket)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listening(profile, process):
    """Port and path of the browser's own address, once it has written them down."""
    file = Path(profile) / "DevToolsActivePort"
    for _ in range(10 * _PATIENCE):
        if file.exists() and len(lines := file.read_text().split()) == 2:
            return lines
        assert process.poll() is None, "the browser ended before it listened"
        time.sleep(0.1)
    raise TimeoutError("the browser does not listen")


def _tab(port, path):
    """The address of a new tab."""
    with connect(f"ws://127.0.0.1:{port}{path}", open_timeout=_PATIENCE, proxy=None) as socket:
        request = {"id": 0, "method": "Target.createTarget", "params": {"url": "about:blank"}}
        socket.send(json.dumps(request))
        while (answer := json.loads(socket.recv(timeout=_PATIENCE))).get("id") != 0:
            pass
    return f"ws://127.0.0.1:{port}/devtools/page/{answer['result']['targetId']}"
