"""test/host/build.py - building and running what is in test/host

What a program is made of stands in its first lines, and in those of its sources that lie in test/host (`with_sources`).  A test is X_test.c, a fuzzer X_fuzz.c.  A model
(model.h) is both: X_model.c with model_by_seed.c, and with model_by_bytes.c.  Test programs with PLANT lines must fail when
one of these faults is built in: `planted_faults`.
"""
import glob
import os
import re
import shutil
import subprocess
import time

CFLAGS = ("-std=gnu2x -g -O1 -fno-omit-frame-pointer -fno-strict-aliasing -fwrapv "
          "-Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Iinclude -Itest/host -I.").split()
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
ENV = {"ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1", "UBSAN_OPTIONS": "print_stacktrace=1",
       "TSAN_OPTIONS": "halt_on_error=1"}
BUILD = "build/host"
CORPUS = "test/host/corpus"
FUZZ_SECONDS = 30


def run(args, timeout, **kw):
    """=> (exit code, output of both streams, seconds); 124 when the time was over"""
    start = time.monotonic()
    try:
        p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
                           stdin=subprocess.DEVNULL, **kw)
        code, out = p.returncode, p.stdout
    except subprocess.TimeoutExpired as e:
        code, out = 124, (e.stdout or b"") + b"\n(time is over)\n"
    return code, out.decode(errors="replace"), time.monotonic() - start


def header_values(path, key):
    """The texts after '// KEY:' in the first 40 lines."""
    found = []
    with open(path, encoding="utf-8", errors="replace") as f:
        for _, line in zip(range(40), f):
            m = re.match(r"(?://|#| \*|\s*)\s*" + key + r":\s*(.*)", line)
            if m:
                found.append(m.group(1).strip())
    return found


def header_value(path, key, default=""):
    return " ".join(header_values(path, key)) or default


def with_sources(path, key):
    """The words of '// KEY:' lines of a program and of those of its sources that lie in test/host."""
    found = header_value(path, key).split()
    for source in header_value(path, "SOURCES").split():
        if source.startswith("test/host/"):
            found += with_sources(source, key)
    return list(dict.fromkeys(found)) if key == "SOURCES" else found


def is_model(source):
    return source.endswith("_model.c")


def plain_name(source):
    """test/host/X_model.c => X"""
    return re.sub(r"_(test|fuzz|model)\.c$", "", os.path.basename(source))


def compile_program(source, fuzz, binary=None, instead=None, objects=None):
    """Builds a program.  instead: {path: path of the text to be built for it}; objects: {path: object}, what earlier calls
    for the same program built of unchanged text, and this one.  => (binary, error text or None)"""
    binary = binary or os.path.join(BUILD, plain_name(source) + ("_fuzz" if fuzz else "_test"))
    instead, objects = instead or {}, {} if objects is None else objects
    flags = CFLAGS + SANITIZE + with_sources(source, "CFLAGS") + (["-fsanitize=fuzzer"] if fuzz else [])
    sources = [source] + with_sources(source, "SOURCES")
    if is_model(source):
        sources.append("test/host/model_by_bytes.c" if fuzz else "test/host/model_by_seed.c")
    if instead:	# what was changed must be found before its original, and its neighbours where they were
        changed_flags = [f"-I{binary}.d/include", f"-I{binary}.d"] + flags + ["-iquote" + os.path.dirname(p) for p in instead]
        if not all(path in sources for path in instead):
            objects = {}			# a header
    os.makedirs(binary + ".o", exist_ok=True)
    ccache = [shutil.which("ccache")] if shutil.which("ccache") else []
    linked = []
    for src in sources:
        changed = instead and (src in instead or not objects.get(src))
        obj = os.path.join(binary + ".o", src.replace("/", ".") + ".o")
        if not changed and src in objects:
            obj = objects[src]
        else:
            code, out, _ = run(ccache + ["clang"] + (changed_flags if changed else flags) +
                               ["-c", instead.get(src, src), "-o", obj], 120)
            if code:
                return binary, out
            if not instead:
                objects[src] = obj
        linked.append(obj)
    code, out, _ = run(["clang"] + flags + linked + header_value(source, "LIBS").split() + ["-lpthread", "-o", binary], 120)
    return binary, out if code else None


def program_test(source):
    """Builds and runs a test. => (passed, output)"""
    binary, error = compile_program(source, False)
    if error:
        return False, error
    code, out, _ = run([binary] + header_value(source, "ARGS").split(), 180, env=dict(os.environ, **ENV))
    return code == 0, out


def unpack_corpus(name):
    """The inputs in test/host/corpus/NAME.hex, a line each, as files. => their folder"""
    folder = os.path.join(BUILD, "corpus", name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    path = os.path.join(CORPUS, name + ".hex")
    if os.path.exists(path):
        with open(path, encoding="ascii") as f:
            for i, line in enumerate(f):
                with open(os.path.join(folder, f"{i:03}"), "wb") as out:
                    out.write(bytes.fromhex(line.strip()))
    return folder


def fuzz_test(source, artifacts):
    """A bounded number of runs, the same every time. => (passed, output)"""
    binary, error = compile_program(source, True)
    if error:
        return False, error
    name = plain_name(source)
    found = os.path.join(BUILD, "found", name)	# new inputs; not for the next run
    shutil.rmtree(found, ignore_errors=True)
    os.makedirs(found)
    args = [binary, f"-runs={header_value(source, 'RUNS', '20000')}", "-seed=1", f"-max_total_time={FUZZ_SECONDS}",
            f"-max_len={256 if is_model(source) else 4096}", "-verbosity=0", f"-artifact_prefix={artifacts}/{name}-", found,
            unpack_corpus(name)]
    code, out, _ = run(args, 180, env=dict(os.environ, **ENV))
    return code == 0, out


def plant(source, line, binary):
    """Builds one fault in. => ({path: changed text's path}, None) or (None, why not)"""
    m = re.match(r"(\S+): (.*?) => ?(.*)$", line)
    if not m:
        return None, "not FILE: OLD => NEW"
    path, old, new = (s.replace(r"\n", "\n").replace(r"\t", "\t") for s in m.groups())
    with open(path, encoding="utf-8") as f:
        text = f.read()
    if text.count(old) != 1:
        return None, f"'{old}' stands {text.count(old)} times in {path}: the PLANT line must follow the code"
    changed = os.path.join(binary + ".d", path)
    os.makedirs(os.path.dirname(changed), exist_ok=True)
    if path.endswith(".h"):	# headers beside it that include it must do so there
        for beside in glob.glob(os.path.join(os.path.dirname(path), "*.h")):
            shutil.copy(beside, os.path.dirname(changed))
    with open(changed, "w", encoding="utf-8") as f:
        f.write(text.replace(old, new))
    return {path: changed}, None


def planted_faults(source):
    """The test is built with each fault in turn and must fail each time. => (passed, output)"""
    lines, objects = [], {}
    _, error = compile_program(source, False, os.path.join(BUILD, "plants", plain_name(source)), objects=objects)
    if error:
        return False, error
    ok = True
    for i, line in enumerate(header_values(source, "PLANT")):
        binary = os.path.join(BUILD, "plants", f"{plain_name(source)}{i}")
        shutil.rmtree(binary + ".d", ignore_errors=True)
        instead, error = plant(source, line, binary)
        if not error:
            _, error = compile_program(source, False, binary, instead, objects)
        if error:
            ok = False
            lines.append(f"CANNOT BE BUILT {line}\n{error}")
            continue
        args = header_value(source, "PLANT_ARGS", "--steps 30000" if is_model(source) else "").split()
        for _ in range(8):	# what depends on the timing of threads may be missed, most of all on a busy host
            code, out, seconds = run([binary] + args, 60, env=dict(os.environ, **ENV))
            if code:
                break
        why = next((l.strip() for l in out.split("\n") if re.search(r"  test/|ERROR|WARNING|panic|assert|error:", l)), "")
        lines.append(f"{'NOT SEEN' if not code else 'seen'} in {seconds:.1f} s: {line}\n    {why}")
        ok = ok and code != 0
    return ok, "\n".join(lines) + "\n"
