/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

float mq_fn_sinh(float x, const float *parameters) {
    (void)parameters;
    const float a = mq_abs(x);
    if (a > 1.0f) {
        const float e = mq_exp(0.5f * a); /* halves, so that e^x itself need not be a float */
        return mq_copysign(0.5f * e * e - 0.5f / e / e, x);
    }
    const float t = mq_expm1(a);
    return mq_copysign(0.5f * (t + t / (t + 1.0f)), x);
}
