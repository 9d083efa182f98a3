/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

float mq_fn_celu(float x, const float *parameters) {
    return x < 0.0f ? parameters[0] * mq_expm1(x / parameters[0]) : x;
}
