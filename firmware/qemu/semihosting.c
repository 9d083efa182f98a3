/* The instruction by which a bare program calls the debugger or emulator that watches it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "semihosting.h"

#if defined(__arm__)

__attribute__((naked)) uintptr_t semihosting(uintptr_t operation, uintptr_t argument) {
    (void)operation; /* both are in the right registers already */
    (void)argument;
    __asm__ volatile("bkpt 0xab\n bx lr");
}

#elif defined(__riscv)

/* The three instructions are recognised together: uncompressed, and on one page. Alone in a section, the function stays
 * aligned whatever the linker shortens. */
__attribute__((naked, aligned(16), section(".text.semihosting"))) uintptr_t semihosting(uintptr_t operation,
                                                                                        uintptr_t argument) {
    (void)operation; /* both are in the right registers already */
    (void)argument;
    __asm__ volatile(".option push\n .option norvc\n slli x0, x0, 0x1f\n ebreak\n srai x0, x0, 7\n .option pop\n ret");
}

#endif
