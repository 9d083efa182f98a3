/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_narrow.h"

#include "mq_float.h"

float mq_fn_round_to_type(float x, const float *parameters) {
    if (x != x) {
        return parameters[4] < 0.0f ? x : parameters[4];
    }
    const float size = mq_abs(x);
    const int32_t lowest = (int32_t)parameters[1];
    int32_t exponent = (int32_t)(mq_bits_of(size) >> 23) - 127;
    exponent = exponent > lowest ? exponent : lowest;
    const int32_t step = exponent - (int32_t)parameters[0];
    const float rounded = mq_scale(mq_rint(mq_scale(size, -step)), step);
    if (rounded > parameters[2]) {
        return parameters[3] < 0.0f ? MQ_NAN : mq_copysign(parameters[3], x);
    }
    return mq_copysign(rounded, x);
}
