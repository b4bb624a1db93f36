"""matrix.py - the machines Quoin is booted on, and the images it must refuse politely.

cases() lists them; each has a name, an estimate in seconds and check(log), which boots, looks, and
returns (ok, text to print when it is not).  A machine case runs a short command in the guest and
compares what it says with what the machine was given.
"""
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

import machine
import mce
import screen

GUEST = os.path.join(machine.TOP, "test", "guest")
TELL = ("echo cpus=$(grep -c ^processor /proc/cpuinfo);"
        "echo mib=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo);"
        "echo nodes=$(ls -d /sys/devices/system/node/node[0-9]* 2>/dev/null | wc -l)")


class Boot:
    """A machine that must come up and be what it was configured as."""

    def __init__(self, name, options, smp=1, mib=512, nodes=1, seconds=10, command=TELL, extra=()):
        self.name, self.seconds, self.command = name, seconds, command
        self.smp, self.mib, self.nodes = smp, mib, nodes
        self.args = [GUEST, "--timeout", "120"] + options.split() + list(extra)

    def check(self, log):
        p = subprocess.run(self.args + ["--log", log, "--", "/bin/sh", "-c", self.command],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           errors="replace", timeout=200, stdin=subprocess.DEVNULL)
        if p.returncode or self.command is not TELL:
            return p.returncode == 0, p.stdout + f"\n(exit code {p.returncode})"
        said = dict(re.findall(r"(\w+)=(\d+)", p.stdout))
        bad = []
        if said.get("cpus") != str(self.smp):
            bad.append(f"CPUs: {said.get('cpus')}, the machine has {self.smp}")
        mib = int(said.get("mib") or 0)
        if not self.mib * 0.80 - 24 <= mib <= self.mib:
            bad.append(f"MemTotal {mib} MiB, the machine has {self.mib}")
        if said.get("nodes") != str(self.nodes):
            bad.append(f"nodes: {said.get('nodes')}, the machine has {self.nodes}")
        return not bad, p.stdout + "\n" + "\n".join(bad)


# Processes and signals on isolated page tables, and the checker that looks at what those map
PTI = ("grep -qx 'Mitigation: PTI' /sys/devices/system/cpu/vulnerabilities/meltdown && "
       "for t in /t/*; do $t || exit 1; done && echo 1 > /proc/sys/vm/check && test $(cat /proc/sys/vm/check) = 0")


class Programs(Boot):
    """A machine on which some of the guest programs of test/user run once more."""

    def __init__(self, name, options, command, programs, seconds=20):
        super().__init__(name, options, seconds=seconds, command=command)
        self.programs = programs

    def check(self, log):
        with tempfile.TemporaryDirectory(prefix="quoin-programs.") as work:
            os.mkdir(os.path.join(work, "t"))
            for name in self.programs:
                shutil.copy(os.path.join(machine.BUILD, "user", "musl", name), os.path.join(work, "t", name))
            self.args += ["--overlay", work]
            return super().check(log)


class Kaslr:
    """Image, direct map and vmalloc are elsewhere in every boot; with nokaslr where they were linked."""

    name, seconds, boots = "kaslr", 25, 3
    WHERE = (("image", r"image at (0x[0-9a-f]+)", 0xffffffff80000000, 0xffffffffc0000000, 1 << 21),
             ("direct map", r"direct map at (0x[0-9a-f]+)", 0xffff800000000000, 0xffffa00000000000, 1 << 30),
             ("vmalloc", r"vmalloc from (0x[0-9a-f]+)", 0xffffd00000000000, 0xffffd40000000000, 1 << 21))

    @staticmethod
    def boot(log, *words):
        subprocess.run([GUEST, "--timeout", "120", "--log", log, *words, "--", "true"], check=True, stdout=subprocess.DEVNULL,
                       timeout=200, stdin=subprocess.DEVNULL)
        with open(log, encoding="utf-8", errors="replace") as f:
            text = f.read()
        return [int(re.search(pattern, text).group(1), 16) for _, pattern, *_ in Kaslr.WHERE]

    def check(self, log):
        plain = self.boot(log, "--append", "nokaslr")
        found = [self.boot(log) for _ in range(self.boots)]
        bad = []
        for i, (what, _, low, high, step) in enumerate(self.WHERE):
            places = [f[i] for f in found]
            if plain[i] != low:
                bad.append(f"{what} with nokaslr is at {plain[i]:#x}, not {low:#x}")
            if len(set(places)) < self.boots - (what == "image"):	# the image has but 500 places
                bad.append(f"{what} comes back to the same place: {[hex(p) for p in places]}")
            if any(p < low or p >= high or p % step for p in places):
                bad.append(f"{what} is out of its window: {[hex(p) for p in places]}")
        return not bad, "\n".join(bad)


class Bochs:
    """One CPU with PCIDs, INVPCID and the Meltdown fault: address-space tags and isolated tables in use."""

    name, seconds = "bochs-pcid", 60
    COMMAND = ("grep -qw invpcid /proc/cpuinfo && grep -qx 'Mitigation: PTI' /sys/devices/system/cpu/vulnerabilities/meltdown && "
               "/t/mm_stale --rounds 10 && /t/signals && echo 1 > /proc/sys/vm/check && test $(cat /proc/sys/vm/check) = 0")

    def check(self, log):
        with tempfile.TemporaryDirectory(prefix="quoin-programs.") as work:
            os.mkdir(os.path.join(work, "t"))
            for name in ("mm_stale", "signals"):
                shutil.copy(os.path.join(machine.BUILD, "user", "musl", name), os.path.join(work, "t", name))
            p = subprocess.run([os.path.join(machine.TOP, "test", "boot", "bochs"), "--timeout", "240", "--overlay", work, "--log", log,
                                "--", "/bin/sh", "-c", self.COMMAND], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace", timeout=300, stdin=subprocess.DEVNULL)
        return p.returncode == 0, p.stdout[-3000:] + f"\n(exit code {p.returncode})"


class BadImage:
    """An image with something wrong: the firmware console must name it, and the machine not hang."""

    seconds = 12

    def __init__(self, name, change, sentence):
        self.name, self.change, self.sentence = name, change, sentence

    def check(self, log):
        with tempfile.TemporaryDirectory(prefix="quoin-bad.") as work:
            files = dict(machine.loader_files())
            files["EFI/quoin/initrd.img"] = machine.initrd("small")
            files["EFI/quoin/cmdline.txt"] = os.path.join(work, "cmdline")
            with open(files["EFI/quoin/cmdline.txt"], "w", encoding="ascii") as f:
                f.write("hostcon=0x4e0 init=/sbin/guestinit\n")
            self.change(files, work)
            image = os.path.join(work, "bad.img")
            machine.run_tool([machine.MKIMAGE, image] + [f"{k}={v}" for k, v in files.items()])
            p = subprocess.run([GUEST, "--timeout", "60", "--log", log, "--image", image],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               errors="replace", timeout=120, stdin=subprocess.DEVNULL)
        with open(log, encoding="utf-8", errors="replace") as f:
            said = f.read()
        ok = p.returncode == 125 and re.search(self.sentence, said)
        return bool(ok), (p.stdout + f"\n(exit code {p.returncode}, wanted 125; looked for "
                          f"'{self.sentence}' on the console)")


def truncate_kernel(files, work):
    path = os.path.join(work, "kernel")
    with open(files["EFI/quoin/kernel.elf"], "rb") as f, open(path, "wb") as out:
        out.write(f.read()[:20000])
    files["EFI/quoin/kernel.elf"] = path


def corrupt_kernel(files, work):
    path = os.path.join(work, "kernel")
    with open(files["EFI/quoin/kernel.elf"], "rb") as f, open(path, "wb") as out:
        data = bytearray(f.read())
        data[0:4] = b"\x7fEXE"
        out.write(data)
    files["EFI/quoin/kernel.elf"] = path


def no_kernel(files, _work):
    del files["EFI/quoin/kernel.elf"]


def no_initrd(files, _work):
    del files["EFI/quoin/initrd.img"]


PROMPT = rb"quoin:[^\n]*[#$] (\x1b\[6n)?$"	# the shell may ask where the cursor is


class Interactive:
    """What a person does: `make run`, wait for the prompt, type, power off (or Ctrl-A X)."""

    seconds = 15

    def __init__(self, name, leave):
        self.name, self.leave = name, leave

    def check(self, log):
        pid, fd = pty.fork()
        if not pid:
            os.chdir(machine.TOP)
            os.execv("test/boot/run", ["test/boot/run", "--accel", "tcg", "--smp", "2",
                                       "--memory", "512M"])
        seen = bytearray()
        try:
            ok = self.expect(fd, seen, PROMPT, 60)
            if ok:
                os.write(fd, b"echo answer=$((6*7)) tty=$(tty)\r")
                ok = self.expect(fd, seen, rb"answer=42 tty=/dev/ttyS0\s", 20)
            if ok:
                os.write(fd, b"sleep 100\r")
                time.sleep(1)
                os.write(fd, b"\x03")
                ok = self.expect(fd, seen, rb"\^C\s+" + PROMPT, 20)
            if ok:
                os.write(fd, self.leave)
                ok = self.ended(fd, seen, pid, 30)
                pid = 0 if ok else pid
        finally:
            if pid:
                os.kill(pid, signal.SIGTERM)
                os.waitpid(pid, 0)
            os.close(fd)
            with open(log, "wb") as f:
                f.write(seen)
        return ok, seen.decode(errors="replace").replace("\r", "")[-3000:]

    @staticmethod
    def read(fd, seen, until):
        if select.select([fd], [], [], max(0.0, until - time.monotonic()))[0]:
            try:
                data = os.read(fd, 65536)
            except OSError:
                return False
            seen += data
            return bool(data)
        return False

    def expect(self, fd, seen, pattern, seconds):
        start, until = len(seen), time.monotonic() + seconds
        while time.monotonic() < until:
            if not self.read(fd, seen, until):
                return False
            if re.search(pattern, seen[start:]):
                return True
        return False

    def ended(self, fd, seen, pid, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            done, _ = os.waitpid(pid, os.WNOHANG)
            if done:
                return True
            self.read(fd, seen, time.monotonic() + 0.2)
        return False


class Framebuffer:
    """The console on the screen shows text, and the keyboard reaches the shell behind it."""

    name, seconds = "screen-and-keyboard", 18

    def check(self, log):
        guest = screen.Screen(log=log)
        try:
            if not guest.wait_for("quoin:", 90):
                return False, guest.log_text()[-3000:]
            time.sleep(1)
            before = guest.picture()
            lit = sum(1 for i in range(0, len(before[2]), 3) if any(before[2][i:i + 3]))
            guest.type("echo typed-$((6*7)) > /dev/ttyS0\n")
            ok = guest.wait_for("typed-42", 15)
            time.sleep(0.5)
            after = guest.picture()
        finally:
            guest.close()
        screen.write_png(log[:-4] + ".png", *after)
        return ok and lit > 500 and before[2] != after[2], (
            f"{lit} pixels lit, changed by typing: {before[2] != after[2]}, command ran: {ok}; "
            f"picture in {log[:-4]}.png")


class Contract:
    """What test/guest promises: exit code, output and error output apart from each other."""

    seconds = 8

    def __init__(self, name, options, program, code, out=b"", err=rb"", overlay=None):
        self.name, self.options, self.program = name, options, program
        self.code, self.out, self.err, self.overlay = code, out, err, overlay or {}

    def check(self, log):
        with tempfile.TemporaryDirectory(prefix="quoin-contract.") as work:
            for name, (text, mode) in self.overlay.items():
                path = os.path.join(work, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="ascii") as f:
                    f.write(text)
                os.chmod(path, mode)
            p = subprocess.run([GUEST, "--timeout", "90", "--log", log, "--overlay", work] +
                               self.options + ["--"] + self.program, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, timeout=200, stdin=subprocess.DEVNULL)
        ok = p.returncode == self.code and p.stdout == self.out and re.search(self.err, p.stderr)
        if not self.err and p.stderr:
            ok = False
        return bool(ok), (f"exit code {p.returncode}, wanted {self.code}\nstandard output "
                          f"{p.stdout[:500]!r}\nstandard error:\n{p.stderr.decode(errors='replace')}")


def contract_cases():
    yield Contract("guest-output", [], ["sh", "-c", "echo out; echo err >&2; cat; exit 7"], 7, b"out\n", rb"^err\n$")
    yield Contract("guest-overlay", ["--append", "some=word"],
                   ["mine", "a b", ""], 0, b"mine <a b> <> some=word\n",
                   overlay={"bin/mine": ("#!/bin/sh\necho \"mine <$1> <$2> $(grep -o some=word /proc/cmdline)\"\n",
                                         0o755)})
    yield Contract("guest-overlay-replaces", [],	# a link to busybox, by a file
                   ["sh", "-c", "/bin/tac; [ -x /bin/busybox ] && [ ! -L /bin/tac ] && echo x | cat"], 0, b"mine\nx\n",
                   overlay={"bin/tac": ("#!/bin/sh\necho mine\n", 0o755)})
    yield Contract("guest-signal", [], ["sh", "-c", "kill -9 $$"], 137)
    yield Contract("guest-not-found", [], ["/no/such/program"], 127, err=rb"^/no/such/program: ")
    yield Contract("guest-timeout", ["--timeout", "12"], ["sh", "-c", "echo begun; sleep 100"], 124, b"begun\n",
                   rb"time is over")
    yield Contract("guest-panic", ["--append", "init=/bin/true"], ["true"], 126, err=rb"kernel panic: [^\n]*init")
    yield Contract("guest-panic-pti", ["--smp", "4", "--append", "pti=on init=/bin/true"], ["true"], 126,
                   err=rb"kernel panic: [^\n]*init")	# the others are stopped by NMIs
    yield Contract("guest-oom-panics", ["--memory", "256M"], ["sh", "-c", "echo 1 >/proc/sys/vm/panic_on_oom; tail /dev/zero"], 126,
                   err=rb"kernel panic: Out of memory: system-wide panic_on_oom is enabled")
    yield Contract("guest-wx-is-found", ["--append", "plant_wx"], ["true"], 126,
                   err=rb"writable and executable[^\n]*\n")
    yield Contract("guest-large-output", ["--smp", "2"], ["sh", "-c", "yes | head -c 3000000"], 0, b"y\n" * 1500000)
    yield Contract("guest-disk-and-icount", ["--icount", "7", "--disk", machine.initrd("small")], ["echo", "counted"], 0,
                   b"counted\n")


def cases():
    yield from contract_cases()
    for n in (1, 2, 4, 8):
        yield Boot(f"smp-{n}", f"--smp {n}", smp=n)
    for size, mib in (("128M", 128), ("1G", 1024), ("3G", 3072), ("8G", 8192)):
        yield Boot(f"memory-{size}", f"--memory {size}", mib=mib)
    for n in (2, 4):
        yield Boot(f"numa-{n}", f"--numa {n} --smp 4 --memory 1G", smp=4, nodes=n, mib=1024)
    for cpu in ("qemu64", "Skylake-Server", "max,-la57,-smap"):
        yield Boot("cpu-" + cpu.split(",")[0].lower() + ("-plain" if "," in cpu else ""),
                   f"--cpu {cpu} --smp 2", smp=2)
    yield mce.Mce()
    yield Boot("la57", "--append la57 --smp 4", smp=4)
    for name, options in (("1", "--smp 1"), ("4", "--smp 4"), ("2-la57", "--smp 2 --append la57")):
        yield Programs(f"pti-smp-{name}", options + " --append pti=on", PTI,
                       ["signals", "proc", "proc_clone", "futex_ops", "hostile", "memory"])
    yield Boot("vga", "--vga std")
    yield Boot("nokaslr", "--append nokaslr")
    # zone Movable: a share of managed memory, or a refusal and none
    movable = "awk '/zone/ {z=$4} /present/ {all+=$2; if (z==\"Movable\") m+=$2} END {exit !(%s)}' /proc/zoneinfo"
    yield Boot("kernelcore", "--memory 2G --append kernelcore=25%", mib=2048, command=movable % "m <= all*.75 && m >= all*.66")
    yield Boot("kernelcore-mirror", "--append kernelcore=mirror",
               command=movable % "m == 0" + " && dmesg | grep -q 'kernelcore=mirror refused'")
    for device in ("usb", "ahci", "nvme", "cd"):
        yield Boot(f"from-{device}", f"--boot-device {device}")
    loader = r"Quoin loader: [^\n]*"
    yield BadImage("kernel-truncated", truncate_kernel, loader + r"kernel\.elf: [^\n]*(file|short|end)")
    yield BadImage("kernel-corrupt", corrupt_kernel, loader + r"kernel\.elf: [^\n]*ELF")
    yield BadImage("kernel-missing", no_kernel, loader + r"kernel\.elf: not found")
    yield BadImage("initrd-missing", no_initrd, loader + r"no initrd: [^\n]*initrd\.img")
    yield Bochs()
    yield Kaslr()
    yield Framebuffer()
    yield Interactive("interactive-poweroff", b"poweroff\r")
    yield Interactive("interactive-ctrl-a-x", b"\x01x")
