"""mce.py - memory errors, as the machine reports them.

QEMU's monitor command "mce" raises a machine check on a CPU. The guest program mm_mce says which physical address should fail
and then what became of it. The last error is one nobody survives: the panic must show the bank.
"""
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

import machine

# IA32_MCi_STATUS (SDM vol. 3B 15.3.2.2): VAL UC EN MISCV ADDRV S, then AR, PCC and an error code
FOUND = 0xbd000000000000c0
CONSUMED = FOUND & ~0xff | 0x134 | 1 << 55
FATAL = 0xb200000000000005
MISC = 0x8c  # the address is physical, 4 KiB

INJECT = {"consumed": CONSUMED, "found": FOUND, "early": FOUND, "default": FOUND, "fatal": FATAL}
EXPECT = ["consumed: code 4, its address, lsb 12", "again: code 4, its address, lsb 12", "found: code 0",
          "touched: code 4, its address, lsb 12", "early: code 5, its address, lsb 12",
          "default: code 5, its address, lsb 12"]


class Mce:
    """Programs are told what they lost, and no more than they; what cannot be survived is a panic."""

    name, seconds = "mce", 15

    @staticmethod
    def inject(path, status, address):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            replies = s.makefile("r", encoding="utf-8")
            replies.readline()
            for call in ({"execute": "qmp_capabilities"},
                         {"execute": "human-monitor-command",
                          "arguments": {"command-line": f"mce 0 1 {status:#x} 0x5 {address:#x} {MISC:#x}"}}):
                s.sendall(json.dumps(call).encode() + b"\n")
                while "return" not in (reply := json.loads(replies.readline() or '{"error": "QEMU ended"}')):
                    if "error" in reply:
                        raise machine.Error(f"mce: {reply['error']}")

    def check(self, log):
        with tempfile.TemporaryDirectory(prefix="quoin-mce.") as work:
            overlay, path = os.path.join(work, "root"), os.path.join(work, "qmp")
            os.makedirs(os.path.join(overlay, "bin"))
            shutil.copy(os.path.join(machine.BUILD, "user", "musl", "mm_mce"), os.path.join(overlay, "bin"))
            guest = subprocess.Popen([os.path.join(machine.TOP, "test", "guest"), "--timeout", "100", "--smp", "2", "--overlay", overlay,
                                      "--log", log, "--qemu=-qmp", f"--qemu=unix:{machine.escape(path)},server=on,wait=off",
                                      "--", "/bin/mm_mce", "wait"],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            said = []
            for line in guest.stdout:
                said.append(line.rstrip())
                step, _, address = said[-1].partition(" ")
                if step in INJECT:
                    time.sleep(0.3)  # it loops by now
                    self.inject(path, INJECT[step], int(address, 16))
            guest.wait()
        with open(log, encoding="utf-8", errors="replace") as f:
            text = f.read()
        missing = [e for e in EXPECT if e not in said]
        missing += [e for e in (f"bank 1: status {FATAL:#x}", "machine check: the machine cannot go on") if e not in text]
        return not missing, "\n".join(said + [f"missing: {m}" for m in missing])
