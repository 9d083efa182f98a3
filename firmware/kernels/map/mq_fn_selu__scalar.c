/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

float mq_fn_selu(float x, const float *parameters) {
    return parameters[1] * (x > 0.0f ? x : parameters[0] * mq_expm1(x));
}
