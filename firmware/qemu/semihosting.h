/* Calls from a bare program to the machine that emulates it: Arm's semihosting, which RISC-V took over.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>

#define SEMIHOSTING_OPEN 0x01u
#define SEMIHOSTING_WRITE0 0x04u
#define SEMIHOSTING_WRITE 0x05u
#define SEMIHOSTING_READ 0x06u
#define SEMIHOSTING_EXIT 0x18u
#define SEMIHOSTING_OPEN_READ_BINARY 1u
#define SEMIHOSTING_OPEN_WRITE_BINARY 5u
#define SEMIHOSTING_STOPPED 0x20026u
#define SEMIHOSTING_FAILED 0x20023u

/* `argument` is the address of a block of words, a text, or a number: the operation says which. */
uintptr_t semihosting(uintptr_t operation, uintptr_t argument);

#endif
