/* From reset to main on a RISC-V core in machine mode: global pointer, stack, trap handler.
 * SPDX-License-Identifier: Apache-2.0 */
#include "semihosting.h"

#if defined(__riscv)

int main(void);
void mq_reset(void);
void mq_fault(void);
void mq_main(void);

__attribute__((aligned(4))) void mq_fault(void) {
    (void)semihosting(SEMIHOSTING_WRITE0, (uintptr_t)"the core took a trap\n");
    (void)semihosting(SEMIHOSTING_EXIT, SEMIHOSTING_FAILED);
    for (;;) {
    }
}

void mq_main(void) {
    (void)semihosting(SEMIHOSTING_EXIT, main() ? SEMIHOSTING_FAILED : SEMIHOSTING_STOPPED);
    for (;;) {
    }
}

/* mstatus.FS: whether instructions on floats trap; they do after reset. */
#if defined(__riscv_flen)
#define FLOATS_ON " li t0, 0x2000\n csrs mstatus, t0\n"
#else
#define FLOATS_ON
#endif

/* The emulator has loaded the data and cleared the rest. */
__attribute__((naked, section(".vectors"), used)) void mq_reset(void) {
    __asm__ volatile(".option push\n .option norelax\n la gp, __global_pointer$\n .option pop\n"
                     "la sp, mq_stack_top\n .option arch, +zicsr\n la t0, mq_fault\n csrw mtvec, t0\n" FLOATS_ON
                     "tail mq_main");
}

#endif
