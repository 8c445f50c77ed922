/* Startup and output of a Cortex-M without an operating system: vectors, memory, floating point, semihosting. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "board.h"

#include <string.h>

/* From the linker script. */
extern uint32_t stack_top[], data_begin[], data_end[], data_load[], bss_begin[], bss_end[];

/* ARM semihosting 2.0: r0 the operation, r1 its argument. */
enum { SYS_WRITE0 = 0x04, SYS_EXIT_EXTENDED = 0x20, ADP_STOPPED_APPLICATION_EXIT = 0x20026 };

static void call_host(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void print_text(const char *text) {
    call_host(SYS_WRITE0, text);
}

void print_number(int64_t number) {
    char digits[24], *p = digits + sizeof digits;
    uint64_t magnitude = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    *--p = 0;
    do *--p = (char)('0' + magnitude % 10);
    while (magnitude /= 10);
    if (number < 0) *--p = '-';
    print_text(p);
}

void leave(int status) {
    const uint32_t reason[2] = {ADP_STOPPED_APPLICATION_EXIT, (uint32_t)status};
    call_host(SYS_EXIT_EXTENDED, reason);
    for (;;) {
    }
}

static void stop_on_fault(void) {
    print_text("fault\n");
    leave(99);
}

static __attribute__((noinline)) void start(void) {
    memcpy(data_begin, data_load, (size_t)((char *)data_end - (char *)data_begin));
    memset(bss_begin, 0, (size_t)((char *)bss_end - (char *)bss_begin));
    leave(main());
}

void reset(void);
void reset(void) {
    volatile uint32_t *coprocessors = (volatile uint32_t *)0xE000ED88; /* CPACR: FPU and MVE are off after reset */
    *coprocessors |= 0xFu << 20;
    __asm__ volatile("dsb\n isb");
    start();
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_top,
    (void *)reset,
    (void *)stop_on_fault,
    (void *)stop_on_fault,
    (void *)stop_on_fault,
    (void *)stop_on_fault,
    (void *)stop_on_fault,
    NULL,
    NULL,
    NULL,
    NULL,
    (void *)stop_on_fault,
    (void *)stop_on_fault,
    NULL,
    (void *)stop_on_fault,
    (void *)stop_on_fault,
};
