/* From reset to main on any Cortex-M: vector table, floating point and Helium switched on, faults reported.
 * SPDX-License-Identifier: Apache-2.0 */
#include "semihosting.h"

/* Coprocessor access control: full access to 10 and 11, which are the floating-point unit and Helium. Cores without
 * either ignore it. */
#define CPACR (*(volatile uint32_t *)0xe000ed88u)

extern uint32_t mq_stack_top[];
int main(void);
void mq_reset(void);
void mq_fault(void);

typedef union {
    uint32_t *stack;
    void (*handler)(void);
} vector_t;

__attribute__((naked)) uintptr_t semihosting(uintptr_t operation, uintptr_t argument) {
    (void)operation; /* both are in the right registers already */
    (void)argument;
    __asm__ volatile("bkpt 0xab\n bx lr");
}

void mq_fault(void) {
    (void)semihosting(SEMIHOSTING_WRITE0, (uintptr_t)"the emulated core took a fault\n");
    (void)semihosting(SEMIHOSTING_EXIT, SEMIHOSTING_FAILED);
    for (;;) {
    }
}

/* The emulator has loaded the data and cleared the rest. */
void mq_reset(void) {
    CPACR |= 0xfu << 20;
    __asm__ volatile("dsb\n isb" ::: "memory");
    (void)semihosting(SEMIHOSTING_EXIT, main() ? SEMIHOSTING_FAILED : SEMIHOSTING_STOPPED);
    for (;;) {
    }
}

extern const vector_t mq_vectors[16];
__attribute__((section(".vectors"), used)) const vector_t mq_vectors[16] = {
    {.stack = mq_stack_top}, {.handler = mq_reset}, {.handler = mq_fault}, {.handler = mq_fault},
    {.handler = mq_fault},   {.handler = mq_fault}, {.handler = mq_fault}, {.handler = mq_fault},
    {.handler = mq_fault},   {.handler = mq_fault}, {.handler = mq_fault}, {.handler = mq_fault},
    {.handler = mq_fault},   {.handler = mq_fault}, {.handler = mq_fault}, {.handler = mq_fault},
};
