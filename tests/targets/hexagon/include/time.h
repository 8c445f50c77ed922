/* As much of time.h as the test programs use under qemu-hexagon. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_HOSTED_TIME_H
#define WISP_HOSTED_TIME_H

typedef long time_t;
struct timespec {
    time_t tv_sec;
    long tv_nsec;
};
enum { CLOCK_REALTIME = 0, CLOCK_MONOTONIC = 1 };

int clock_gettime(int clock, struct timespec *now);
time_t time(time_t *now);

#endif
