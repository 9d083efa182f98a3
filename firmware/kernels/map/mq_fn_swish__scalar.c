/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

float mq_fn_swish(float x, const float *parameters) {
    return x * mq_sigmoid(parameters[0] * x);
}
