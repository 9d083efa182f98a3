/* Counts executed instructions, and says where the program was when: a TCG plugin for QEMU 7 and 8.
 *
 * Every executed instruction adds one to `executed`. The program's address ranges that are watched (range=LOW-HIGH,
 * decimal, HIGH exclusive, numbered from 0 in the order given) cut the count into pieces: whenever a watched range is
 * entered - from elsewhere, from another range, or back from a function it called - one record goes to the file
 * (out=PATH): which range, `executed` when the last watched instruction was done, and `executed` now. The difference of
 * the two is what was executed outside of all ranges in between: a function called from there, to the instruction.
 *
 * With profile=PATH, whenever range 0 makes a record, what was executed since the last one goes to that file: a number
 * of instructions, and of each its address, how often it was executed, and how often something other than the
 * instruction behind it came next (a branch that was taken).
 *
 * Nothing is added to the program that is counted. The count depends on nothing but the program and its input.
 * Distributions ship QEMU without the header of its plugin interface, so what is used of version 1 is declared here
 * (QEMU, docs/devel/tcg-plugins).
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the interface --- */

#define EXPORTED __attribute__((visibility("default")))
#define INLINE_ADD 0
#define READS_NO_REGISTERS 0

typedef uint64_t plugin_id;
typedef struct qemu_plugin_tb block_t;
typedef struct qemu_plugin_insn instruction_t;
typedef void (*on_block)(plugin_id id, block_t *block);
typedef void (*on_execution)(unsigned int cpu, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, on_block callback);
void qemu_plugin_register_vcpu_tb_exec_cb(block_t *block, on_execution callback, int registers, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(instruction_t *instruction, on_execution callback, int registers,
                                            void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(instruction_t *instruction, int operation, void *counter,
                                                uint64_t added);
size_t qemu_plugin_tb_n_insns(const block_t *block);
instruction_t *qemu_plugin_tb_get_insn(const block_t *block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const instruction_t *instruction);
size_t qemu_plugin_insn_size(const instruction_t *instruction);
EXPORTED int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);

EXPORTED extern int qemu_plugin_version;
EXPORTED int qemu_plugin_version = 1;

/* --- counting --- */

#define MOST_RANGES 8

typedef struct {
    uint64_t low;
    uint64_t high;
} range_t;

typedef struct {
    uint64_t range;
    uint64_t left;
    uint64_t entered;
} record_t;

static range_t ranges[MOST_RANGES];
static size_t range_count;
static FILE *out;

static uint64_t executed;
static size_t in_range = MOST_RANGES;
static uint64_t done; /* `executed` behind the last watched instruction */

/* --- by instruction --- */

#define MOST_INSTRUCTIONS 0x20000u

typedef struct {
    uint64_t address;
    uint64_t executed;
    uint64_t left; /* for elsewhere */
    uint64_t executed_before;
    uint64_t left_before;
} instruction_count_t;

/* A straight run of instructions: where it begins and ends, and its last one. */
typedef struct {
    uint64_t start;
    uint64_t end;
    instruction_count_t *last;
} run_t;

static FILE *profile;
static instruction_count_t counts[MOST_INSTRUCTIONS];
static uint64_t count_of_counts;
static instruction_count_t *places[2 * MOST_INSTRUCTIONS]; /* open addressing, by address */
static const run_t *last_run;

static instruction_count_t *counted(uint64_t address) {
    size_t place = (size_t)(address / 2) % (2 * MOST_INSTRUCTIONS);
    while (places[place] && places[place]->address != address) {
        place = (place + 1) % (2 * MOST_INSTRUCTIONS);
    }
    if (!places[place]) {
        if (count_of_counts == MOST_INSTRUCTIONS) {
            (void)fprintf(stderr, "count_plugin: more than %u instructions to profile\n", MOST_INSTRUCTIONS);
            exit(1);
        }
        places[place] = &counts[count_of_counts++];
        places[place]->address = address;
    }
    return places[place];
}

static void entered_run(unsigned int cpu, void *data) {
    (void)cpu;
    const run_t *run = data;
    if (last_run && last_run->end != run->start) {
        last_run->last->left++;
    }
    last_run = run;
}

static void profile_block(block_t *block) {
    const size_t count = qemu_plugin_tb_n_insns(block);
    run_t *run = malloc(sizeof *run); /* for as long as the emulator lives: a block may come back */
    if (!run) {
        exit(1);
    }
    for (size_t i = 0; i < count; i++) {
        instruction_t *instruction = qemu_plugin_tb_get_insn(block, i);
        const uint64_t address = qemu_plugin_insn_vaddr(instruction);
        run->last = counted(address);
        run->start = i ? run->start : address;
        run->end = address + qemu_plugin_insn_size(instruction);
        qemu_plugin_register_vcpu_insn_exec_inline(instruction, INLINE_ADD, &run->last->executed, 1);
    }
    qemu_plugin_register_vcpu_tb_exec_cb(block, entered_run, READS_NO_REGISTERS, run);
}

static void write_profile(void) {
    uint64_t changed = 0;
    for (uint64_t i = 0; i < count_of_counts; i++) {
        changed += counts[i].executed != counts[i].executed_before;
    }
    (void)fwrite(&changed, sizeof changed, 1, profile);
    for (uint64_t i = 0; i < count_of_counts; i++) {
        instruction_count_t *c = &counts[i];
        if (c->executed != c->executed_before) {
            const uint64_t row[] = {c->address, c->executed - c->executed_before, c->left - c->left_before};
            (void)fwrite(row, sizeof row, 1, profile);
            c->executed_before = c->executed;
            c->left_before = c->left;
        }
    }
    (void)fflush(profile);
}

/* --- by range --- */

static void watched(unsigned int cpu, void *data) {
    (void)cpu;
    const size_t range = (size_t)((const range_t *)data - ranges);
    if (range != in_range || executed != done) {
        const record_t record = {range, done, executed};
        (void)fwrite(&record, sizeof record, 1, out);
        if (range == 0) {
            if (profile) {
                write_profile();
            }
            (void)fflush(out); /* whoever reads along finds everything up to here */
        }
    }
    in_range = range;
    done = executed + 1;
}

static void translated(plugin_id id, block_t *block) {
    (void)id;
    if (profile) {
        profile_block(block);
    }
    const size_t count = qemu_plugin_tb_n_insns(block);
    for (size_t i = 0; i < count; i++) {
        instruction_t *instruction = qemu_plugin_tb_get_insn(block, i);
        const uint64_t address = qemu_plugin_insn_vaddr(instruction);
        for (size_t r = 0; r < range_count; r++) {
            if (ranges[r].low <= address && address < ranges[r].high) {
                qemu_plugin_register_vcpu_insn_exec_cb(instruction, watched, READS_NO_REGISTERS, &ranges[r]);
            }
        }
        /* a callback of an instruction comes before what is inlined for it */
        qemu_plugin_register_vcpu_insn_exec_inline(instruction, INLINE_ADD, &executed, 1);
    }
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        range_t *range = &ranges[range_count];
        if (strncmp(argv[i], "out=", 4) == 0 && !out) {
            out = fopen(argv[i] + 4, "wb");
        } else if (strncmp(argv[i], "profile=", 8) == 0 && !profile) {
            profile = fopen(argv[i] + 8, "wb");
        } else if (range_count < MOST_RANGES &&
                   sscanf(argv[i], "range=%" SCNu64 "-%" SCNu64, &range->low, &range->high) == 2) {
            range_count++;
        } else {
            (void)fprintf(stderr, "count_plugin: %s is not out=PATH, profile=PATH or range=LOW-HIGH\n", argv[i]);
            return 1;
        }
    }
    if (!out) {
        (void)fprintf(stderr, "count_plugin: no file to write to\n");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
