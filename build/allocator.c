/* glibc's allocator raises these two limits whenever a large piece is freed, such as a plugin that has been read and compiled, and from then on
   keeps up to 64 MiB of free memory in each of its arenas. What is set stays as it is. */
#include <malloc.h>

__attribute__((constructor)) static void fix_limits(void) {
    /* Pieces from this size on have pages of their own, which go when they are freed. */
    mallopt(M_MMAP_THRESHOLD, 512 * 1024);
    /* Free memory that an arena may keep at its end. */
    mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
}
