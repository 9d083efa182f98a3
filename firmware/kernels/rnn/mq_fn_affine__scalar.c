/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_rnn.h"

float mq_fn_affine(float x, const float *parameters) {
    return parameters[0] * x + parameters[1];
}
