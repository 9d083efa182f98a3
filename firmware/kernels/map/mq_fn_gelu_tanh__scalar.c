/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

float mq_fn_gelu_tanh(float x, const float *parameters) {
    (void)parameters;
    return 0.5f * x * (1.0f + mq_tanh(0.797884561f * (x + 0.044715f * x * x * x)));
}
