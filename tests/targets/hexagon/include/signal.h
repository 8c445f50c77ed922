/* As much of signal.h as the test programs use under qemu-hexagon. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_HOSTED_SIGNAL_H
#define WISP_HOSTED_SIGNAL_H

enum { SIGILL = 4, SIGABRT = 6, SIGBUS = 7, SIGFPE = 8, SIGSEGV = 11 };

/* The handler must not return. */
void (*signal(int number, void (*handler)(int)))(int);

#endif
