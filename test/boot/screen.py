#!/usr/bin/env python3
"""screen.py - look at the framebuffer of a guest, and type on its keyboard

    test/boot/screen.py OUT.png [--root NAME] [--smp N] [--type TEXT]...

boots the image with a display, waits for the shell's prompt on the serial port, types the TEXTs on the
guest's own keyboard (each ended by Enter) and writes what the screen shows. Also imported by matrix.py.
"""
import argparse
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import machine  # noqa: E402

KEYS = {" ": "spc", "\n": "ret", "-": "minus", "/": "slash", ".": "dot", ",": "comma", ";": "semicolon",
        "=": "equal", "'": "apostrophe", "\\": "backslash", "[": "bracket_left", "]": "bracket_right"}
SHIFTED = {"|": "backslash", '"': "apostrophe", ":": "semicolon", "_": "minus", "$": "4", "(": "9",
           ")": "0", "*": "8", "&": "7", ">": "dot", "<": "comma", "!": "1", "+": "equal", "?": "slash",
           "{": "bracket_left", "}": "bracket_right", "%": "5", "^": "6", "#": "3", "@": "2",
           "~": "grave_accent"}


class Screen:
    """A guest with a display."""

    def __init__(self, root="small", smp=2, memory="512M", append="", log=None, qemu=()):
        self.workdir = tempfile.mkdtemp(prefix="quoin-screen.")
        self.qemu = None
        try:
            image = os.path.join(self.workdir, "boot.img")
            machine.make_image(image, root, append)
            self.serial = log or os.path.join(self.workdir, "serial")
            qmp = os.path.join(self.workdir, "qmp")
            open(self.serial, "wb").close()
            args = machine.qemu_args(self.workdir, image, smp=smp, memory=memory, vga="std")
            args += ["-display", "none", "-serial", f"file:{machine.escape(self.serial)}",
                     "-qmp", f"unix:{machine.escape(qmp)},server=on,wait=off"] + list(qemu)
            self.qemu = subprocess.Popen(args, stdin=subprocess.DEVNULL,
                                         preexec_fn=machine.die_with_parent)
            until = time.monotonic() + 10
            while not os.path.exists(qmp):
                if time.monotonic() > until or self.qemu.poll() is not None:
                    raise machine.Error("QEMU did not start")
                time.sleep(0.05)
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(qmp)
            self.replies = self.socket.makefile("r", encoding="utf-8")
            self.replies.readline()
            self.command("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    def command(self, name, **arguments):
        self.socket.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while True:
            reply = json.loads(self.replies.readline() or '{"error": "QEMU ended"}')
            if "error" in reply:
                raise machine.Error(f"{name}: {reply['error']}")
            if "return" in reply:
                return reply["return"]

    def log_text(self):
        with open(self.serial, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_for(self, text, seconds):
        """Until the text is on the serial port."""
        until = time.monotonic() + seconds
        while text not in self.log_text():
            if time.monotonic() > until or self.qemu.poll() is not None:
                return False
            time.sleep(0.1)
        return True

    def key(self, *names):
        self.command("send-key", keys=[{"type": "qcode", "data": n} for n in names],
                     **{"hold-time": 20})
        time.sleep(0.06)

    def type(self, text):
        for c in text:
            if c in SHIFTED or c.isupper():
                self.key("shift", SHIFTED.get(c, c.lower()))
            else:
                self.key(KEYS.get(c, c))

    def picture(self):
        """=> (width, height, RGB bytes)"""
        path = os.path.join(self.workdir, "shot.ppm")
        self.command("screendump", filename=path)
        with open(path, "rb") as f:
            magic, size, _, pixels = f.read().split(b"\n", 3)
        if magic != b"P6":
            raise machine.Error("screendump: not a PPM file")
        width, height = map(int, size.split())
        return width, height, pixels

    def close(self):
        if self.qemu:
            if self.qemu.poll() is None:
                self.qemu.kill()
            self.qemu.wait()
        shutil.rmtree(self.workdir, ignore_errors=True)


def write_png(path, width, height, pixels):
    """RGB rows as a PNG file (PNG specification, 3rd edition, chapters 5 and 11)."""
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
    rows = b"".join(b"\0" + pixels[y * width * 3:(y + 1) * width * 3] for y in range(height))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("--root", default="small")
    p.add_argument("--smp", type=int, default=2)
    p.add_argument("--memory", default="512M")
    p.add_argument("--append", default="")
    p.add_argument("--type", action="append", default=[])
    p.add_argument("--trim", action="store_true", help="cut the empty rows at the bottom")
    p.add_argument("--wait", type=float, default=90, help="seconds for the prompt")
    opt = p.parse_args()
    screen = Screen(opt.root, opt.smp, opt.memory, opt.append)
    try:
        if not screen.wait_for("quoin:", opt.wait):
            print(screen.log_text()[-2000:])
            print("screen: no prompt on the serial port; the picture is what there is", file=sys.stderr)
        time.sleep(1)
        for text in opt.type:
            screen.type(text + "\n")
            time.sleep(1.5)
        width, height, pixels = screen.picture()
        if opt.trim:
            used = len(pixels.rstrip(b"\0")) // (3 * width) + 17
            height = min(height, used - used % 16)
        write_png(opt.out, width, height, pixels)
    finally:
        screen.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
