#!/usr/bin/env python3
"""cpio.py - write "newc" archives for the guest's root file system, without being root.

    cpio.py [--merge-usr] DIR... >archive      the trees of all DIRs, later ones on top

Owners become root, times one constant (same input, same bytes); hard links become copies.  Archives
may be concatenated: each ends with a trailer and is padded to 512 bytes.  With --merge-usr the
top-level bin, sbin, lib, lib32, lib64 and libx32 of a tree are written below usr/, as Debian's
merged file system has them.  The module is also imported by test/guest.
"""
import os
import stat
import sys

MTIME = 1700000000
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


class Archive:
    """An archive being written to a binary file object."""

    def __init__(self, out):
        self.out = out
        self.ino = 1
        self.size = 0
        self.dirs = set()

    def _write(self, data):
        self.out.write(data)
        self.size += len(data)

    def _pad(self, unit):
        self._write(b"\0" * (-self.size % unit))

    def add(self, name, mode, data=b""):
        """One entry; name is relative to the root."""
        raw = os.fsencode(name) + b"\0"
        fields = (self.ino, mode, 0, 0, 2 if stat.S_ISDIR(mode) else 1, MTIME, len(data),
                  0, 0, 0, 0, len(raw), 0)
        self.ino += 1
        self._write(b"070701" + b"".join(b"%08X" % f for f in fields) + raw)
        self._pad(4)
        if data:
            self._write(data)
            self._pad(4)

    def add_dir(self, name, mode=0o755):
        """A directory, once, with the directories above it."""
        if not name or name in self.dirs:
            return
        self.add_dir(os.path.dirname(name))
        self.dirs.add(name)
        self.add(name, stat.S_IFDIR | mode)

    def add_file(self, name, data, mode=0o644):
        self.add_dir(os.path.dirname(name))
        self.add(name, stat.S_IFREG | mode, data)

    def add_link(self, name, target):
        self.add_dir(os.path.dirname(name))
        self.add(name, stat.S_IFLNK | 0o777, os.fsencode(target))

    def add_tree(self, top, merge_usr=False):
        """Everything below the host's directory top; sockets and devices are left out."""
        for path, dirs, files in os.walk(top):
            dirs.sort()
            rel = os.path.relpath(path, top)
            rel = "" if rel == "." else rel
            for name in sorted(files + [d for d in dirs if os.path.islink(os.path.join(path, d))]):
                self._add_host(os.path.join(path, name), os.path.join(rel, name), merge_usr)
            for name in dirs:
                full = os.path.join(path, name)
                if not os.path.islink(full):
                    target = merged(os.path.join(rel, name), merge_usr)
                    self.add_dir(target, stat.S_IMODE(os.lstat(full).st_mode))

    def _add_host(self, full, name, merge_usr):
        st = os.lstat(full)
        if merge_usr and name in MERGED:
            return
        name = merged(name, merge_usr)
        if stat.S_ISLNK(st.st_mode):
            self.add_link(name, os.readlink(full))
        elif stat.S_ISREG(st.st_mode):
            with open(full, "rb") as f:
                self.add_file(name, f.read(), stat.S_IMODE(st.st_mode))

    def close(self):
        self.ino = 0
        self.add("TRAILER!!!", 0)
        self._pad(512)


def merged(name, merge_usr):
    head = name.split("/", 1)[0]
    return "usr/" + name if merge_usr and head in MERGED else name


def main(args):
    merge_usr = "--merge-usr" in args
    archive = Archive(sys.stdout.buffer)
    for top in [a for a in args if not a.startswith("--")]:
        archive.add_tree(top, merge_usr)
    archive.close()


if __name__ == "__main__":
    main(sys.argv[1:])
