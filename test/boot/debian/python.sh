#!/bin/sh
# TIMEOUT: 120
# python3-minimal: subprocesses, threads, files, signals, sockets' absence aside
cat >t.py <<'END'
import errno, os, select, signal, stat, subprocess, sys, threading, time
print(sys.version_info[:2])
print(subprocess.run(["echo", "sub"], capture_output=True, text=True).stdout.strip())
p = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(p.communicate(b"x" * 200000)[0] == b"x" * 200000, p.returncode)
print(subprocess.run("exit 5", shell=True).returncode, subprocess.call(["sh", "-c", "kill -9 $$"]))
try:
    subprocess.run(["sleep", "9"], timeout=0.3)
except subprocess.TimeoutExpired:
    print("timeout")
try:
    subprocess.run(["/nonexistent"])
except FileNotFoundError as e:
    print(errno.errorcode[e.errno])
lock, total, seen = threading.Lock(), 0, []
def work(n):
    global total
    for i in range(2000):
        with lock:
            total += n
    seen.append(n)
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print(total, sorted(seen))
cond, box = threading.Condition(), []
def consumer():
    with cond:
        while len(box) < 3:
            cond.wait()
t = threading.Thread(target=consumer); t.start()
for i in range(3):
    with cond:
        box.append(i); cond.notify()
t.join(5); print("condition", not t.is_alive())
ev = threading.Event(); start = time.monotonic(); print(ev.wait(0.2), 0.15 < time.monotonic() - start < 3)
r, w = os.pipe()
def later():
    time.sleep(0.2); os.write(w, b"hi")
threading.Thread(target=later).start()
print(select.select([r], [], [], 5)[0] == [r], os.read(r, 10))
got = []
signal.signal(signal.SIGALRM, lambda s, f: got.append(s)); signal.setitimer(signal.ITIMER_REAL, 0.1)
time.sleep(0.5); print("alarm", got == [signal.SIGALRM])
pid = os.fork()
if pid == 0:
    os._exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
os.mkdir("d"); open("d/f", "w").write("text\n" * 1000); os.symlink("f", "d/l"); os.rename("d/f", "d/g")
print(sorted(os.listdir("d")), os.stat("d/g").st_size, stat.S_ISLNK(os.lstat("d/l").st_mode))
with open("d/g") as f:
    print(sum(1 for _ in f))
print(os.cpu_count() == int(subprocess.getoutput("nproc")), os.getppid() > 0, os.path.realpath("/bin") == "/usr/bin")
print(len(os.urandom(16)), "%.3f" % (sum(i ** 0.5 for i in range(1000))))
p = select.epoll(); p.register(r, select.EPOLLIN); os.write(w, b"e"); print(p.poll(1)[0][1] == select.EPOLLIN)
d = {str(i): i for i in range(200000)}; print(len(d), d["199999"])
END
exec python3 t.py
