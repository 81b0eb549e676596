"""Names whose look-ups a test holds up: a library that is put in front of the system's getaddrinfo."""

import os
import pathlib
import shutil
import subprocess

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (!real) real = dlsym(RTLD_NEXT, "getaddrinfo");
    size_t length = name ? strlen(name) : 0;
    if (length < 5 || strcmp(name + length - 5, ".test") != 0) return real(name, service, hints, result);
    char line[300];
    if (length < sizeof line) {
        int log = open(getenv("NAMES_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        memcpy(line, name, length);
        line[length] = '\n';
        if (log >= 0) { if (write(log, line, length + 1) < 0) {} close(log); }
    }
    if (strstr(name, ".hang.test"))
        while (access(getenv("NAMES_HOLD"), F_OK) == 0) usleep(10000);
    return real("127.0.0.1", service, hints, result);
}
"""


class Names:
    """The names of an edge that is started after it: `*.hang.test` are not resolved while `hold` lasts, and other names under
    `test` at once, all to 127.0.0.1."""

    def __init__(self, folder, monkeypatch):
        folder = pathlib.Path(folder)
        self.hold_file, self.log = folder / "names-hold", folder / "names-log"
        source, library = folder / "names.c", folder / "names.so"
        source.write_text(SHIM)
        subprocess.run([compiler(), "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, capture_output=True)
        monkeypatch.setenv("LD_PRELOAD", str(library))
        monkeypatch.setenv("NAMES_HOLD", str(self.hold_file))
        monkeypatch.setenv("NAMES_LOG", str(self.log))

    def hold(self):
        self.hold_file.touch()

    def let_go(self):
        self.hold_file.unlink(missing_ok=True)

    def asked(self, name):
        """How often the system was asked for it."""
        return self.log.read_text().split().count(name) if self.log.exists() else 0


def compiler():
    """Swift brings one: clang stands beside `swift`, which may be a link."""
    swift = shutil.which("swift")
    beside = [str(pathlib.Path(os.path.realpath(swift)).parent / "clang")] if swift else []
    for name in [os.environ.get("CC"), "cc", "clang", "gcc", *beside, "/opt/swift/usr/bin/clang"]:
        if name and shutil.which(name):
            return name
    raise AssertionError("no C compiler: set CC, or install the package gcc")
