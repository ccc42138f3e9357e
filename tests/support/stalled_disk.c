/* Preloaded, a disk that hangs as long as the file named by STALLED_DISK exists. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static void wait_for_the_disk(void) {
    const char *sign = getenv("STALLED_DISK");
    while (sign && access(sign, F_OK) == 0) usleep(10000);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) {
    ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite64");
    wait_for_the_disk();
    return real(fd, bytes, count, at);
}
