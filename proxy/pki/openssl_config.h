/* The openssl.cnf of the profile seed, with which openssl continues a PKI that husk has begun. */
#ifndef HUSK_PKI_OPENSSL_CONFIG_H
#define HUSK_PKI_OPENSSL_CONFIG_H

extern const char openssl_config[];

#endif
