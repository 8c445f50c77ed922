/* The clock checkasm times with, for boards that have none: it stands still. picolibc leaves it to the program. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    (void)clock;
    *now = (struct timespec){0, 0};
    return 0;
}
