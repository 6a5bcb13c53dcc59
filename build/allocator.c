/* glibc's allocator keeps what is freed, more of it the larger the pieces are that have been freed, such as a plugin that has been read and
   compiled: up to 64 MiB in each of its arenas, and all that lies between pieces in use. Here it keeps little, and not for long. */
#include <malloc.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Seconds that free memory stays at hand for the next piece. */
enum { KEPT = 10 };

static void *give_back(void *unused) {
    for (;;) {
        sleep(KEPT);
        malloc_trim(0);
    }
    return unused;
}

__attribute__((constructor)) static void start(void) {
    pthread_t thread;

    /* Some systems give 2 MiB for each octet that is touched, unless asked not to. */
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    /* Small pieces are joined with their neighbours when they are freed. Otherwise all of them are looked through again whenever a larger one is
       wanted, several times for each message. */
    mallopt(M_MXFAST, 0);
    /* Pieces from this size on have pages of their own, which go when they are freed. What is set stays as it is. */
    mallopt(M_MMAP_THRESHOLD, 512 * 1024);
    /* Free memory that an arena may keep at its end. */
    mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
    /* Without the thread the program works as well, and takes more memory. */
    if (pthread_create(&thread, NULL, give_back, NULL) == 0)
        pthread_detach(thread);
}
