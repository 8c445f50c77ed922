/* Plugin of the emulator: counts the guest's instructions, on Hexagon packets, between two marks or, without marks, all. See counts.py. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The part of version 1 of the plugin interface that is used here; distributions ship no header for it. */
typedef uint64_t plugin_id;
typedef struct block_code block_code;
typedef struct instruction instruction;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translate)(plugin_id, block_code *));
void qemu_plugin_register_vcpu_tb_exec_cb(block_code *code, void (*execute)(unsigned, void *), int flags, void *data);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id id, void (*call)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                                                     uint64_t, uint64_t, uint64_t, uint64_t));
void qemu_plugin_register_atexit_cb(plugin_id id, void (*end)(plugin_id, void *), void *data);
size_t qemu_plugin_tb_n_insns(const block_code *code);
instruction *qemu_plugin_tb_get_insn(const block_code *code, size_t i);
const char *qemu_plugin_insn_symbol(const instruction *i);

#define EXPORTED __attribute__((visibility("default")))
EXPORTED int qemu_plugin_version = 1;
EXPORTED int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);

/* The guest asks for the process group of a process that cannot be. The call's number is 132 on 32-bit ARM, 155 elsewhere. */
enum { GETPGID = 155, GETPGID_ARM = 132, BEGIN = 0x51000000, END = 0x51000001 };

/* A translated block, or the sum of all blocks of a function. */
typedef struct block {
    struct block *next;
    uint64_t size, executed;
    const char *symbol;
} block;

static block *blocks;
static int top;
static bool printed;

static void execute(unsigned cpu, void *data) {
    (void)cpu;
    __atomic_fetch_add(&((block *)data)->executed, 1, __ATOMIC_RELAXED);
}

static void translate(plugin_id id, block_code *code) {
    (void)id;
    block *b = calloc(1, sizeof *b);
    if (!b) abort();
    b->size = qemu_plugin_tb_n_insns(code);
    b->symbol = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(code, 0));
    b->next = __atomic_load_n(&blocks, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&blocks, &b->next, b, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
    }
    qemu_plugin_register_vcpu_tb_exec_cb(code, execute, 0, b);
}

static int by_symbol(const void *a, const void *b) {
    return strcmp((*(block *const *)a)->symbol, (*(block *const *)b)->symbol);
}

static int by_count(const void *a, const void *b) {
    const uint64_t x = (*(block *const *)a)->executed, y = (*(block *const *)b)->executed;
    return (x < y) - (x > y);
}

/* The functions that executed most. Destroys the counts. */
static void print_functions(void) {
    size_t n = 0, functions = 0;
    for (block *b = blocks; b; b = b->next) n++;
    block **list = calloc(n + 1, sizeof *list);
    if (!list) abort();
    n = 0;
    for (block *b = blocks; b; b = b->next) {
        if (!b->symbol || !*b->symbol) b->symbol = "?";
        b->executed *= b->size;
        list[n++] = b;
    }
    qsort(list, n, sizeof *list, by_symbol);
    for (size_t i = 0; i < n; i++) {
        if (functions && !strcmp(list[functions - 1]->symbol, list[i]->symbol))
            list[functions - 1]->executed += list[i]->executed;
        else
            list[functions++] = list[i];
    }
    qsort(list, functions, sizeof *list, by_count);
    for (size_t i = 0; i < functions && (int)i < top; i++) fprintf(stderr, "%12" PRIu64 " %s\n", list[i]->executed, list[i]->symbol);
    free(list);
}

static void print(void) {
    uint64_t total = 0;
    for (block *b = blocks; b; b = b->next) total += b->size * b->executed;
    fprintf(stderr, "instructions %" PRIu64 "\n", total);
    if (top) print_functions();
    printed = true;
}

static void system_call(plugin_id id, unsigned cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f,
                        uint64_t g, uint64_t h) {
    (void)id, (void)cpu, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if ((number != GETPGID && number != GETPGID_ARM) || printed) return;
    if ((uint32_t)a == BEGIN)
        for (block *x = blocks; x; x = x->next) x->executed = 0;
    else if ((uint32_t)a == END)
        print();
}

static void end(plugin_id id, void *data) {
    (void)id, (void)data;
    if (!printed) print();
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "top=", 4)) top = atoi(argv[i] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_vcpu_syscall_cb(id, system_call);
    qemu_plugin_register_atexit_cb(id, end, NULL);
    return 0;
}
