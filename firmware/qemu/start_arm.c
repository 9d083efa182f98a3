/* From reset to main on any Cortex-M: vector table, data and zeros in place, floating point, Helium and caches on,
 * faults reported. The linker script says where things lie. SPDX-License-Identifier: Apache-2.0 */
#include "semihosting.h"

#if defined(__arm__)

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define CCR REGISTER(0xe000ed14u)
#define CLIDR REGISTER(0xe000ed78u)
#define CCSIDR REGISTER(0xe000ed80u)
#define CSSELR REGISTER(0xe000ed84u)
/* Coprocessor access control: full access to 10 and 11, which are the floating-point unit and Helium. Cores without
 * either ignore it. */
#define CPACR REGISTER(0xe000ed88u)
#define ICIALLU REGISTER(0xe000ef50u)
#define DCISW REGISTER(0xe000ef60u)

extern uint32_t mq_stack_top[], mq_data_start[], mq_data_end[], mq_bss_start[], mq_bss_end[];
extern const uint32_t mq_data_load[];
int main(void);
void mq_reset(void);
void mq_fault(void);
void SysTick_Handler(void) __attribute__((weak)); /* nowhere, unless the program counts with it */

typedef union {
    uint32_t *stack;
    void (*handler)(void);
} vector_t;

void mq_fault(void) {
    (void)semihosting(SEMIHOSTING_WRITE0, (uintptr_t)"the core took a fault\n");
    (void)semihosting(SEMIHOSTING_EXIT, SEMIHOSTING_FAILED);
    for (;;) {
    }
}

/* An emulator has loaded the data already, and cleared the rest: then the first loop copies nothing. */
static void fill_memory(void) {
    const volatile uint32_t *from = mq_data_load;
    if (from != mq_data_start) {
        for (volatile uint32_t *to = mq_data_start; to < mq_data_end; to++) {
            *to = *from++;
        }
    }
    for (volatile uint32_t *to = mq_bss_start; to < mq_bss_end; to++) {
        *to = 0;
    }
}

/* Caches of a core that has them hold anything after reset. */
static void caches_on(void) {
#if __ARM_ARCH >= 7
    const uint32_t kinds = CLIDR & 7u; /* of level 1: bit 0 instructions, bits 1 and 2 data */
    if (kinds & 6u) {
        CSSELR = 0; /* level 1, data */
        __asm__ volatile("dsb" ::: "memory");
        const uint32_t size = CCSIDR;
        const uint32_t line_bits = (size & 7u) + 4u, ways = (size >> 3) & 0x3ffu, sets = (size >> 13) & 0x7fffu;
        const uint32_t way_shift = ways ? (uint32_t)__builtin_clz(ways) : 0;
        for (uint32_t set = 0; set <= sets; set++) {
            for (uint32_t way = 0; way <= ways; way++) {
                DCISW = (way << way_shift) | (set << line_bits);
            }
        }
    }
    ICIALLU = 0;
    __asm__ volatile("dsb\n isb" ::: "memory");
    CCR |= (kinds & 1u) << 17 | (kinds & 6u ? 1u << 16 : 0);
    __asm__ volatile("dsb\n isb" ::: "memory");
#endif
}

void mq_reset(void) {
    CPACR |= 0xfu << 20;
    __asm__ volatile("dsb\n isb" ::: "memory");
    fill_memory();
    caches_on();
    (void)semihosting(SEMIHOSTING_EXIT, main() ? SEMIHOSTING_FAILED : SEMIHOSTING_STOPPED);
    for (;;) {
    }
}

extern const vector_t mq_vectors[16];
__attribute__((section(".vectors"), used)) const vector_t mq_vectors[16] = {
    {.stack = mq_stack_top}, {.handler = mq_reset}, {.handler = mq_fault}, {.handler = mq_fault},
    {.handler = mq_fault},   {.handler = mq_fault}, {.handler = mq_fault}, {.handler = mq_fault},
    {.handler = mq_fault},   {.handler = mq_fault}, {.handler = mq_fault}, {.handler = mq_fault},
    {.handler = mq_fault},   {.handler = mq_fault}, {.handler = mq_fault}, {.handler = SysTick_Handler},
};

#endif
