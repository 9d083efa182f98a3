/* Whole numbers and truth values of any width as 64 bits, for the kernels that compute with them.
 *
 * A type is the number of bytes of an element, negative where it is unsigned: 1 int8_t, -1 uint8_t and truth values,
 * 2 int16_t, ..., -8 uint64_t. An unsigned number of 64 bits is passed as the int64_t of the same bits; what the type
 * has no room for is cut off, so that sums and products wrap around.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_WHOLE_TYPES_H
#define MQ_WHOLE_TYPES_H

#include "mq_base.h"

/* Element i of x. */
static inline int64_t mq_whole_load(const void *x, int32_t i, int32_t type) {
    switch (type) {
        case 1:
            return ((const int8_t *)x)[i];
        case 2:
            return ((const int16_t *)x)[i];
        case 4:
            return ((const int32_t *)x)[i];
        case -1:
            return ((const uint8_t *)x)[i];
        case -2:
            return ((const uint16_t *)x)[i];
        case -4:
            return ((const uint32_t *)x)[i];
        default:
            return ((const int64_t *)x)[i];
    }
}

/* Element i of y becomes v, its low bits where y is narrower. */
static inline void mq_whole_store(void *y, int32_t i, int32_t type, int64_t v) {
    switch (type) {
        case 1:
        case -1:
            ((uint8_t *)y)[i] = (uint8_t)v;
            break;
        case 2:
        case -2:
            ((uint16_t *)y)[i] = (uint16_t)v;
            break;
        case 4:
        case -4:
            ((uint32_t *)y)[i] = (uint32_t)v;
            break;
        default:
            ((int64_t *)y)[i] = v;
            break;
    }
}

#endif
