/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_rnn.h"

#include "mq_float.h"

float mq_fn_scaled_tanh(float x, const float *parameters) {
    return parameters[0] * mq_tanh(parameters[1] * x);
}
