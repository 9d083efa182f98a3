/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

float mq_fn_asinh(float x, const float *parameters) {
    (void)parameters;
    const float a = mq_abs(x);
    if (a > 1e9f) { /* where a^2 could overflow: ln(2 a) */
        return mq_copysign(mq_log(a) + 0.693147181f, x);
    }
    return mq_copysign(mq_log1p(a + a * (a / (1.0f + MQ_SQRT(a * a + 1.0f)))), x);
}
