/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

float mq_fn_atanh(float x, const float *parameters) {
    (void)parameters;
    const float a = mq_abs(x);
    return mq_copysign(0.5f * mq_log1p(2.0f * (a / (1.0f - a))), x);
}
