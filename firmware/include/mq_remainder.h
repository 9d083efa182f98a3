/* The rest of a division of floats: a - trunc(a / b) b, exact.
 *
 * Long division in binary: |b| 2^k is taken away wherever it fits. Each difference is exact, for 2^k |b| <= r < 2^(k+1)
 * |b|. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_REMAINDER_H
#define MQ_REMAINDER_H

#include "mq_float.h"

/* Has the sign of a; NaN where b is 0, a is infinite, or either is NaN. */
static inline float mq_remainder(float a, float b) {
    const float divisor = mq_abs(b);
    float rest = mq_abs(a);
    if (!(rest < MQ_INFINITY) || !(divisor > 0.0f)) {
        return MQ_NAN;
    }
    float step = divisor;
    while (step <= rest * 0.5f) {
        step += step;
    }
    while (step > divisor) {
        rest -= rest >= step ? step : 0.0f;
        step *= 0.5f;
    }
    rest -= rest >= divisor ? divisor : 0.0f;
    return mq_copysign(rest, a);
}

/* a - floor(a / b) b: as mq_remainder, with the sign of b. */
static inline float mq_floor_remainder(float a, float b) {
    const float rest = mq_remainder(a, b);
    if (rest < 0.0f || rest > 0.0f) {
        return (rest < 0.0f) == (b < 0.0f) ? rest : rest + b;
    }
    return rest <= 0.0f ? mq_copysign(0.0f, b) : rest;
}

#endif
