/* As much of unistd.h as the test programs use under qemu-hexagon. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_HOSTED_UNISTD_H
#define WISP_HOSTED_UNISTD_H

#include <stddef.h>

enum { STDOUT_FILENO = 1, STDERR_FILENO = 2, _SC_PAGESIZE = 30 };

int getpgid(int process);
long sysconf(int name);
long write(int file, const void *data, size_t size);
void _exit(int status) __attribute__((noreturn));

#endif
