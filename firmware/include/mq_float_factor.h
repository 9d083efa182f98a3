/* A constant float that many values are multiplied with, on the way to integers or from them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_FLOAT_FACTOR_H
#define MQ_FLOAT_FACTOR_H

#include "mq_float.h"

#if (defined(__arm__) && !defined(__ARM_FP)) || (defined(__riscv) && !defined(__riscv_flen))

#include "mq_soft_factor.h"

typedef mq_soft_factor mq_float_factor;

static inline mq_float_factor mq_float_factor_of(float x) {
    return mq_soft_factor_of(x);
}

/* mq_round(x * s). */
static inline int32_t mq_round_times(float x, const mq_float_factor *s) {
    return mq_soft_round_times(x, s);
}

/* (float)v * s, |v| < 2^17. */
static inline float mq_times_float(int32_t v, const mq_float_factor *s) {
    return mq_soft_times(v, s);
}

#else

typedef float mq_float_factor;

static inline mq_float_factor mq_float_factor_of(float x) {
    return x;
}

static inline int32_t mq_round_times(float x, const mq_float_factor *s) {
    return mq_round(x * *s);
}

static inline float mq_times_float(int32_t v, const mq_float_factor *s) {
    return (float)v * *s;
}

#endif
#endif
