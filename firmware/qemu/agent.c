/* Runs on an emulated machine and does what a process on the host asks for: write memory, read memory, call a function.
 *
 * So any kernel or model can be run there on any data without compiling anything for it. Requests come as three words
 * {kind, address, bytes}, in the byte order of both (little):
 *   1 write   `bytes` bytes follow and go to `address`
 *   2 read    answers with `bytes` bytes from `address`
 *   3 call    a call_t follows; answers with the result's word and the bytes of stack that the function used
 * The end of the input ends the program.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "semihosting.h"

#define WORDS 32
#define FLOATS 8
#define PAINT 0x5aa5c33cu

enum { WRITE = 1, READ = 2, CALL = 3 };

typedef struct {
    uint32_t kind;
    uint32_t address;
    uint32_t bytes;
} request_t;

/* Arguments as the procedure call standards pass them: integers and pointers in `words`, in order. Where floats have
 * registers of their own they are in `floats`, else in `words`, too. What a function does not take it does not see. */
typedef struct {
    uint32_t function;
    uint32_t words[WORDS];
    float floats[FLOATS];
} call_t;

typedef struct {
    uint32_t value;
    uint32_t stack_bytes;
} result_t;

typedef uint32_t (*function_t)(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t,
                               uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t,
                               uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t,
                               uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, float, float, float, float, float,
                               float, float, float);

extern uint32_t mq_stack_bottom[];
void mq_call(const call_t *call, result_t *result);
int main(void);

static uint32_t input;
static uint32_t output;

static uint32_t opened(const char *path, uint32_t length, uint32_t mode) {
    const uintptr_t block[] = {(uintptr_t)path, mode, length};
    return (uint32_t)semihosting(SEMIHOSTING_OPEN, (uintptr_t)block);
}

/* Bytes that could not be had: 0, or everything left at the end of the input. */
static uint32_t get(void *to, uint32_t bytes) {
    uint8_t *next = to;
    while (bytes) {
        const uintptr_t block[] = {input, (uintptr_t)next, bytes};
        const uint32_t missing = (uint32_t)semihosting(SEMIHOSTING_READ, (uintptr_t)block);
        if (missing >= bytes) {
            return bytes;
        }
        next += bytes - missing;
        bytes = missing;
    }
    return 0;
}

static void put(const void *from, uint32_t bytes) {
    const uint8_t *next = from;
    while (bytes) {
        const uintptr_t block[] = {output, (uintptr_t)next, bytes};
        const uint32_t missing = (uint32_t)semihosting(SEMIHOSTING_WRITE, (uintptr_t)block);
        next += bytes - missing;
        bytes = missing;
    }
}

/* Calls from here alone are counted. The stack below is painted before the call; what it changed was used. */
__attribute__((noinline)) void mq_call(const call_t *call, result_t *result) {
    const uint32_t *w = call->words;
    const float *f = call->floats;
    volatile uint32_t *const bottom = mq_stack_bottom;
    volatile uint32_t *top;
#if defined(__riscv)
    __asm__ volatile("mv %0, sp" : "=r"(top));
#else
    __asm__ volatile("mov %0, sp" : "=r"(top));
#endif
    for (volatile uint32_t *word = bottom; word < top; word++) {
        *word = PAINT;
    }
    result->value = ((function_t)(uintptr_t)call->function)(
        w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10], w[11], w[12], w[13], w[14], w[15], w[16],
        w[17], w[18], w[19], w[20], w[21], w[22], w[23], w[24], w[25], w[26], w[27], w[28], w[29], w[30], w[31], f[0],
        f[1], f[2], f[3], f[4], f[5], f[6], f[7]);
    volatile uint32_t *word = bottom;
    while (word < top && *word == PAINT) {
        word++;
    }
    result->stack_bytes = (uint32_t)((uintptr_t)top - (uintptr_t)word);
}

int main(void) {
    static call_t call;
    static result_t result;
    request_t request;
    input = opened("/dev/stdin", 10, SEMIHOSTING_OPEN_READ_BINARY);
    output = opened("/dev/stdout", 11, SEMIHOSTING_OPEN_WRITE_BINARY);
    while (get(&request, sizeof request) == 0) {
        switch (request.kind) {
            case WRITE:
                (void)get((void *)(uintptr_t)request.address, request.bytes);
                break;
            case READ:
                put((const void *)(uintptr_t)request.address, request.bytes);
                break;
            case CALL:
                (void)get(&call, sizeof call);
                mq_call(&call, &result);
                put(&result, sizeof result);
                break;
            default:
                (void)semihosting(SEMIHOSTING_WRITE0, (uintptr_t)"agent: unknown request\n");
                return 1;
        }
    }
    return 0;
}
