"""bootcost.py - what it costs to get to the first program: instructions, size of the image, memory

boot_insns        guest instructions, in millions, from the first of the kernel's EFI image (StartImage) to
                  the first of process 1, counted by profile.c's marks; 1 GiB, -icount shift=0 (a virtual
                  nanosecond an instruction, so waiting for hardware counts as it does on a machine)
boot_image        the file or files the firmware loads as kernel, in MB (Quoin: application + kernel)
boot_memory_512m  of 512 MiB, what is neither free nor in files when the first program looks, in MB;
boot_memory_8g    of 8 GiB.  What the firmware keeps for itself is in both kernels' numbers
"""
import os
import struct
import subprocess

import machine

VERSION = 2			# of these definitions: remembered results of others are void
OPS = {"boot_insns": "from StartImage to the first instruction of process 1, millions",
       "boot_image": "what is loaded as the kernel, MB",
       "boot_memory_512m": "memory gone at the first program, of 512 MiB, MB",
       "boot_memory_8g": "the same of 8 GiB"}
CPU = "max,-erms,-la57"


def pe_entry(path):
    """The first bytes of code of an EFI application, as hex."""
    with open(path, "rb") as f:
        data = f.read()
    pe = struct.unpack_from("<I", data, 0x3c)[0]		# PE format: e_lfanew
    sections, optional = struct.unpack_from("<H", data, pe + 6)[0], struct.unpack_from("<H", data, pe + 20)[0]
    entry = struct.unpack_from("<I", data, pe + 24 + 16)[0]
    for i in range(sections):
        size, rva, rawsize, raw = struct.unpack_from("<IIII", data, pe + 24 + optional + 40 * i + 8)
        if rva <= entry < rva + max(size, rawsize):
            return data[raw + entry - rva:][:24].hex()
    raise machine.Error(f"{path}: no code at its entry point")


def elf_entry(path):
    """The first bytes of code of a static program, as hex."""
    with open(path, "rb") as f:
        data = f.read()
    entry, phoff = struct.unpack_from("<QQ", data, 24)
    phentsize, phnum = struct.unpack_from("<HH", data, 54)
    for i in range(phnum):
        kind, _, offset, vaddr, _, filesz = struct.unpack_from("<IIQQQQ", data, phoff + i * phentsize)
        if kind == 1 and vaddr <= entry < vaddr + filesz:
            return data[offset + entry - vaddr:][:24].hex()
    raise machine.Error(f"{path}: no code at its entry point")


def guest(out, more, program, build):
    env = dict(os.environ, QUOIN_BUILD=build) if build else None
    return subprocess.run(["nice", "test/guest", "--timeout", "580", "--cpu", CPU, "--log", os.path.join(out, "boot.log")] +
                          more + ["--"] + program, stdout=subprocess.PIPE, text=True, env=env)


def boot_insns(out, efi, extra, build=None):
    marks = os.path.join(out, "marks")
    if os.path.exists(marks):
        os.remove(marks)
    plugin = (f"{os.path.join(machine.BUILD, 'bench', 'profile.so')},out={marks},mark=start:{pe_entry(efi)},"
              f"mark=init:{elf_entry(os.path.join(machine.BUILD, 'user/musl/guestinit'))}")
    p = guest(out, ["--memory", "1G", "--icount", "0", "--qemu=-plugin", "--qemu=" + plugin] + extra, ["/bin/true"], build)
    found = {}
    if os.path.exists(marks):
        with open(marks, encoding="ascii") as f:
            for line in f:
                name, count = line.split()
                found[name] = int(count)
    if "start" not in found or "init" not in found:
        return f"FAILED (guest exit code {p.returncode}, marks {found})"
    return (found["init"] - found["start"]) / 1e6


def memory_gone(out, size, extra, build=None):
    p = guest(out, ["--memory", size] + extra, ["/bin/cat", "/proc/meminfo"], build)
    kib = {}
    for line in p.stdout.splitlines():
        words = line.split()
        if len(words) >= 2 and words[1].isdigit():
            kib[words[0].rstrip(":")] = int(words[1])
    if "MemFree" not in kib:
        return f"FAILED (guest exit code {p.returncode})"
    gone = machine.parse_size(size) - 1024 * (kib["MemFree"] + kib.get("Cached", 0) + kib.get("Buffers", 0))
    return gone / 1e6


def costs(out, ops, efi, files, extra, build=None):
    known = {"boot_insns": lambda: boot_insns(out, efi, extra, build),
             "boot_image": lambda: sum(map(os.path.getsize, files)) / 1e6,
             "boot_memory_512m": lambda: memory_gone(out, "512M", extra, build),
             "boot_memory_8g": lambda: memory_gone(out, "8G", extra, build)}
    return {op: known[op]() for op in ops}


def quoin(out, ops, build=None):
    where = build or machine.BUILD
    efi = os.path.join(where, "efi", "BOOTX64.EFI")
    return costs(out, ops, efi, [efi, os.path.join(where, "quoin.elf")], [], build)


def linux(image, out, ops, extra):
    return costs(out, ops, image, [image], ["--linux", image] + extra)
