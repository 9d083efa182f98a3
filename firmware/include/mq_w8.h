/* Weights in s8, everything else in floats: what the weight-only kernels of all layers share.
 *
 * A kernel's file says which floats it stores, and includes this:
 *
 *   typedef mq_f16 mq_real;                      or float
 *   #define MQ_TO_F32(v) mq_f16_to_f32(v)        or (v)
 *   #define MQ_FROM_F32(v) mq_f32_to_f16(v)      or (v)
 *
 * A row's scale is one factor of its whole sum: sum_i x[i] (scale w[i]) = scale sum_i x[i] w[i], in f32.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_W8_H
#define MQ_W8_H

#include "mq_base.h"

/* sum_i x[i] w[i], in f32 in the order of i. */
static inline float mq_dot_w8(const mq_real *x, const int8_t *w, uint32_t n) {
    float acc = 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        acc += MQ_TO_F32(x[i]) * (float)w[i];
    }
    return acc;
}

#endif
