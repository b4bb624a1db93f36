#!/bin/bash
# TIMEOUT: 90
# Job control on a pseudo terminal: Ctrl-Z, bg, fg, Ctrl-C, exit codes, by a python driver
cat >drive.py <<'END'
import os, re, select, sys, time
pid, fd = os.forkpty()
if not pid:
    os.environ["PS1"] = "PROMPT> "
    os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
seen = b""
def expect(pattern, seconds=20):
    global seen
    end = time.monotonic() + seconds
    while True:
        m = re.search(pattern, seen, re.S)
        if m:
            seen = seen[m.end():]
            return m
        left = end - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            print("expected", pattern, "seen", seen)
            sys.exit(1)
        try:
            data = os.read(fd, 4096)
        except OSError:
            data = b""
        if not data:
            print("end of file; expected", pattern, "seen", seen)
            sys.exit(1)
        seen += data
def send(text):
    os.write(fd, text)
prompt = rb"PROMPT> $"
expect(prompt)
send(b"sleep 100\n"); time.sleep(0.5); send(b"\x1a"); expect(rb"Stopped +sleep 100"); expect(prompt)
print("stopped")
send(b"jobs\n"); expect(rb"\[1\]\+ +Stopped +sleep 100"); expect(prompt)
send(b"bg\n"); expect(rb"\[1\]\+ sleep 100 &"); expect(prompt)
send(b"jobs\n"); expect(rb"\[1\]\+ +Running +sleep 100"); expect(prompt)
print("running")
send(b"fg\n"); expect(rb"sleep 100\r\n"); time.sleep(0.3); send(b"\x03"); expect(prompt)
send(b"echo code=$?\n"); expect(rb"code=130"); expect(prompt)
print("interrupted")
send(b"cat | cat\n"); time.sleep(0.3); send(b"line\n"); expect(rb"line\r\nline\r\n"); send(b"\x04"); expect(prompt)
print("end of file")
send(b"(trap '' INT; sleep 0.5; echo survived)\n"); time.sleep(0.2); send(b"\x03"); expect(rb"survived"); expect(prompt)
print("ignored")
send(b"stty -a | grep -o 'rows [0-9]*'; tty\n"); expect(rb"rows \d+.*?/dev/pts/\d+\r\n"); expect(prompt)
send(b"exit 7\n")
_, status = os.waitpid(pid, 0)
print("exit", os.waitstatus_to_exitcode(status))
END
python3 drive.py
