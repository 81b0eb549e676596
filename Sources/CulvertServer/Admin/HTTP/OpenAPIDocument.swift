/// docs/openapi.json, served as it stands there; a test compares the two.
enum OpenAPIDocument {
    static let text = #"""
        {
         "openapi": "3.1.0",
         "info": {
          "title": "Culvert admin API",
          "version": "1",
          "description": "Tokens, live sessions and what was done to them. Every answer that is not a success is a problem document (RFC 9457).",
          "license": {
           "name": "Apache-2.0",
           "identifier": "Apache-2.0"
          }
         },
         "servers": [
          {
           "url": "http://127.0.0.1:9901"
          }
         ],
         "security": [
          {
           "admin": []
          }
         ],
         "paths": {
          "/healthz": {
           "get": {
            "operationId": "health",
            "summary": "Whether the process is well",
            "tags": [
             "process"
            ],
            "security": [],
            "responses": {
             "200": {
              "description": "Well, and taking new sessions.",
              "content": {
               "application/json": {
                "schema": {
                 "$ref": "#/components/schemas/Health"
                }
               }
              }
             },
             "503": {
              "description": "Going away.",
              "content": {
               "application/json": {
                "schema": {
                 "$ref": "#/components/schemas/Health"
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            }
           }
          },
          "/readyz": {
           "get": {
            "operationId": "readiness",
            "summary": "Whether it takes new sessions",
            "tags": [
             "process"
            ],
            "security": [],
            "responses": {
             "200": {
              "description": "Well, and taking new sessions.",
              "content": {
               "application/json": {
                "schema": {
                 "$ref": "#/components/schemas/Health"
                }
               }
              }
             },
             "503": {
              "description": "Going away.",
              "content": {
               "application/json": {
                "schema": {
                 "$ref": "#/components/schemas/Health"
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            }
           }
          },
          "/openapi.json": {
           "get": {
            "operationId": "openapi",
            "summary": "This document",
            "tags": [
             "process"
            ],
            "responses": {
             "200": {
              "description": "The document.",
              "content": {
               "application/json": {
                "schema": {
                 "type": "object"
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            }
           }
          },
          "/v1/version": {
           "get": {
            "operationId": "version",
            "summary": "The program's version",
            "tags": [
             "process"
            ],
            "responses": {
             "200": {
              "description": "The version.",
              "content": {
               "application/json": {
                "schema": {
                 "type": "object",
                 "additionalProperties": false,
                 "required": [
                  "version"
                 ],
                 "properties": {
                  "version": {
                   "type": "string"
                  }
                 }
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            }
           }
          },
          "/v1/config": {
           "get": {
            "operationId": "config",
            "summary": "The configuration in effect, without secrets",
            "tags": [
             "process"
            ],
            "responses": {
             "200": {
              "description": "As YAML.",
              "content": {
               "application/json": {
                "schema": {
                 "type": "object",
                 "additionalProperties": false,
                 "required": [
                  "yaml"
                 ],
                 "properties": {
                  "yaml": {
                   "type": "string"
                  }
                 }
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            }
           }
          },
          "/v1/audit": {
           "get": {
            "operationId": "audit",
            "summary": "Who did what, the newest first",
            "tags": [
             "process"
            ],
            "responses": {
             "200": {
              "description": "One page.",
              "content": {
               "application/json": {
                "schema": {
                 "type": "object",
                 "required": [
                  "items",
                  "next"
                 ],
                 "additionalProperties": false,
                 "properties": {
                  "items": {
                   "type": "array",
                   "items": {
                    "$ref": "#/components/schemas/AuditEntry"
                   }
                  },
                  "next": {
                   "type": [
                    "string",
                    "null"
                   ]
                  }
                 }
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "500": {
              "description": "The database failed; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            },
            "parameters": [
             {
              "name": "cursor",
              "in": "query",
              "schema": {
               "type": "integer",
               "minimum": 1
              },
              "description": "`next` of the page before."
             },
             {
              "name": "limit",
              "in": "query",
              "schema": {
               "type": "integer",
               "minimum": 1,
               "maximum": 1000,
               "default": 100
              },
              "description": "Most items of the page."
             }
            ]
           }
          },
          "/v1/tokens": {
           "get": {
            "operationId": "listTokens",
            "summary": "Tokens by id, those of the configuration file among them",
            "tags": [
             "tokens"
            ],
            "responses": {
             "200": {
              "description": "One page.",
              "content": {
               "application/json": {
                "schema": {
                 "type": "object",
                 "required": [
                  "items",
                  "next"
                 ],
                 "additionalProperties": false,
                 "properties": {
                  "items": {
                   "type": "array",
                   "items": {
                    "$ref": "#/components/schemas/Token"
                   }
                  },
                  "next": {
                   "type": [
                    "string",
                    "null"
                   ]
                  }
                 }
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "500": {
              "description": "The database failed; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            },
            "parameters": [
             {
              "name": "cursor",
              "in": "query",
              "schema": {
               "type": "string"
              },
              "description": "`next` of the page before."
             },
             {
              "name": "limit",
              "in": "query",
              "schema": {
               "type": "integer",
               "minimum": 1,
               "maximum": 1000,
               "default": 100
              },
              "description": "Most items of the page."
             },
             {
              "name": "subject",
              "in": "query",
              "schema": {
               "type": "string"
              },
              "description": "Only this subject's."
             },
             {
              "name": "revoked",
              "in": "query",
              "schema": {
               "type": "boolean"
              },
              "description": "Only those that are, or are not, revoked."
             }
            ]
           },
           "post": {
            "operationId": "mint",
            "summary": "Mint a token; its secret is shown this once",
            "tags": [
             "tokens"
            ],
            "responses": {
             "201": {
              "description": "The token and its secret.",
              "content": {
               "application/json": {
                "schema": {
                 "$ref": "#/components/schemas/MintedToken"
                }
               }
              },
              "headers": {
               "Location": {
                "schema": {
                 "type": "string"
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "409": {
              "description": "What is asked for contradicts what is there, or the token stands in the configuration file.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "413": {
              "description": "The body is larger than 64 KiB.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "415": {
              "description": "The body is not application/json.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "500": {
              "description": "The database failed; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "507": {
              "description": "The database takes no more; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            },
            "parameters": [
             {
              "name": "Idempotency-Key",
              "in": "header",
              "schema": {
               "type": "string",
               "minLength": 1,
               "maxLength": 255,
               "pattern": "^[!-~]+$"
              },
              "description": "The same key again within 24 hours gives the same answer, and mints or rotates nothing."
             }
            ],
            "requestBody": {
             "required": true,
             "content": {
              "application/json": {
               "schema": {
                "$ref": "#/components/schemas/TokenRequest"
               }
              }
             }
            }
           }
          },
          "/v1/tokens/{id}": {
           "parameters": [
            {
             "name": "id",
             "in": "path",
             "required": true,
             "schema": {
              "type": "string",
              "minLength": 1
             }
            }
           ],
           "get": {
            "operationId": "getToken",
            "summary": "One token",
            "tags": [
             "tokens"
            ],
            "responses": {
             "200": {
              "description": "The token.",
              "content": {
               "application/json": {
                "schema": {
                 "$ref": "#/components/schemas/Token"
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "404": {
              "description": "There is no such thing.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "500": {
              "description": "The database failed; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            }
           },
           "patch": {
            "operationId": "changeToken",
            "summary": "Change a token; live sessions obey at once",
            "tags": [
             "tokens"
            ],
            "responses": {
             "200": {
              "description": "The token as it is now.",
              "content": {
               "application/json": {
                "schema": {
                 "$ref": "#/components/schemas/Token"
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "404": {
              "description": "There is no such thing.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "409": {
              "description": "What is asked for contradicts what is there, or the token stands in the configuration file.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "413": {
              "description": "The body is larger than 64 KiB.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "415": {
              "description": "The body is not application/json.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "500": {
              "description": "The database failed; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "507": {
              "description": "The database takes no more; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            },
            "requestBody": {
             "required": true,
             "content": {
              "application/json": {
               "schema": {
                "$ref": "#/components/schemas/TokenPatch"
               }
              }
             }
            }
           },
           "delete": {
            "operationId": "deleteToken",
            "summary": "Forget a token; its sessions end",
            "tags": [
             "tokens"
            ],
            "responses": {
             "204": {
              "description": "Forgotten."
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "404": {
              "description": "There is no such thing.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "409": {
              "description": "What is asked for contradicts what is there, or the token stands in the configuration file.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "500": {
              "description": "The database failed; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "507": {
              "description": "The database takes no more; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            }
           }
          },
          "/v1/tokens/{id}/rotate": {
           "parameters": [
            {
             "name": "id",
             "in": "path",
             "required": true,
             "schema": {
              "type": "string",
              "minLength": 1
             }
            }
           ],
           "post": {
            "operationId": "rotate",
            "summary": "Give a token a new secret; the old one lasts for the overlap",
            "tags": [
             "tokens"
            ],
            "responses": {
             "200": {
              "description": "The token and its new secret.",
              "content": {
               "application/json": {
                "schema": {
                 "$ref": "#/components/schemas/MintedToken"
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "404": {
              "description": "There is no such thing.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "409": {
              "description": "What is asked for contradicts what is there, or the token stands in the configuration file.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "413": {
              "description": "The body is larger than 64 KiB.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "415": {
              "description": "The body is not application/json.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "500": {
              "description": "The database failed; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "507": {
              "description": "The database takes no more; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            },
            "parameters": [
             {
              "name": "Idempotency-Key",
              "in": "header",
              "schema": {
               "type": "string",
               "minLength": 1,
               "maxLength": 255,
               "pattern": "^[!-~]+$"
              },
              "description": "The same key again within 24 hours gives the same answer, and mints or rotates nothing."
             }
            ],
            "requestBody": {
             "required": false,
             "content": {
              "application/json": {
               "schema": {
                "$ref": "#/components/schemas/Rotation"
               }
              }
             }
            }
           }
          },
          "/v1/tokens/{id}/revoke": {
           "parameters": [
            {
             "name": "id",
             "in": "path",
             "required": true,
             "schema": {
              "type": "string",
              "minLength": 1
             }
            }
           ],
           "post": {
            "operationId": "revoke",
            "summary": "Revoke a token; its sessions end at once",
            "tags": [
             "tokens"
            ],
            "responses": {
             "200": {
              "description": "The token as it is now.",
              "content": {
               "application/json": {
                "schema": {
                 "$ref": "#/components/schemas/Token"
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "404": {
              "description": "There is no such thing.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "409": {
              "description": "What is asked for contradicts what is there, or the token stands in the configuration file.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "413": {
              "description": "The body is larger than 64 KiB.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "415": {
              "description": "The body is not application/json.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "500": {
              "description": "The database failed; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "507": {
              "description": "The database takes no more; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            },
            "requestBody": {
             "required": false,
             "content": {
              "application/json": {
               "schema": {
                "$ref": "#/components/schemas/Revocation"
               }
              }
             }
            }
           }
          },
          "/v1/jwt/revocations": {
           "get": {
            "operationId": "listJWTRevocations",
            "summary": "JWTs that are refused",
            "tags": [
             "jwt"
            ],
            "responses": {
             "200": {
              "description": "All there are.",
              "content": {
               "application/json": {
                "schema": {
                 "type": "object",
                 "required": [
                  "items",
                  "next"
                 ],
                 "additionalProperties": false,
                 "properties": {
                  "items": {
                   "type": "array",
                   "items": {
                    "$ref": "#/components/schemas/JWTRevocation"
                   }
                  },
                  "next": {
                   "type": [
                    "string",
                    "null"
                   ]
                  }
                 }
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "500": {
              "description": "The database failed; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            }
           },
           "post": {
            "operationId": "revokeJWT",
            "summary": "Refuse a JWT, or all of a subject issued before a time",
            "tags": [
             "jwt"
            ],
            "responses": {
             "201": {
              "description": "What is refused now.",
              "content": {
               "application/json": {
                "schema": {
                 "$ref": "#/components/schemas/JWTRevocation"
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "413": {
              "description": "The body is larger than 64 KiB.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "415": {
              "description": "The body is not application/json.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "500": {
              "description": "The database failed; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "507": {
              "description": "The database takes no more; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            },
            "requestBody": {
             "required": true,
             "content": {
              "application/json": {
               "schema": {
                "$ref": "#/components/schemas/JWTRevocationRequest"
               }
              }
             }
            }
           },
           "delete": {
            "operationId": "removeJWTRevocation",
            "summary": "Refuse no longer",
            "tags": [
             "jwt"
            ],
            "responses": {
             "204": {
              "description": "Removed."
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "404": {
              "description": "There is no such thing.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "500": {
              "description": "The database failed; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "507": {
              "description": "The database takes no more; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            },
            "parameters": [
             {
              "name": "jti",
              "in": "query",
              "schema": {
               "type": "string"
              },
              "description": "The JWT."
             },
             {
              "name": "subject",
              "in": "query",
              "schema": {
               "type": "string"
              },
              "description": "Or the subject."
             }
            ]
           }
          },
          "/v1/sessions": {
           "get": {
            "operationId": "listSessions",
            "summary": "Live sessions",
            "tags": [
             "sessions"
            ],
            "responses": {
             "200": {
              "description": "One page.",
              "content": {
               "application/json": {
                "schema": {
                 "type": "object",
                 "required": [
                  "items",
                  "next"
                 ],
                 "additionalProperties": false,
                 "properties": {
                  "items": {
                   "type": "array",
                   "items": {
                    "$ref": "#/components/schemas/Session"
                   }
                  },
                  "next": {
                   "type": [
                    "string",
                    "null"
                   ]
                  }
                 }
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            },
            "parameters": [
             {
              "name": "token",
              "in": "query",
              "schema": {
               "type": "string"
              },
              "description": "Identifier of the token."
             },
             {
              "name": "subject",
              "in": "query",
              "schema": {
               "type": "string"
              },
              "description": "Subject of the token."
             },
             {
              "name": "route",
              "in": "query",
              "schema": {
               "type": "string"
              },
              "description": "Host and path of the route."
             },
             {
              "name": "transport",
              "in": "query",
              "schema": {
               "type": "string",
               "enum": [
                "websocket",
                "long-poll"
               ]
              },
              "description": "How the client is attached."
             },
             {
              "name": "address",
              "in": "query",
              "schema": {
               "type": "string"
              },
              "description": "Address of the client."
             },
             {
              "name": "upstream",
              "in": "query",
              "schema": {
               "type": "string"
              },
              "description": "Name of the upstream."
             },
             {
              "name": "cursor",
              "in": "query",
              "schema": {
               "type": "string"
              },
              "description": "`next` of the page before."
             },
             {
              "name": "limit",
              "in": "query",
              "schema": {
               "type": "integer",
               "minimum": 1,
               "maximum": 1000,
               "default": 100
              },
              "description": "Most items of the page."
             }
            ]
           },
           "delete": {
            "operationId": "closeSessions",
            "summary": "Close all sessions that match; at least one filter is needed",
            "tags": [
             "sessions"
            ],
            "responses": {
             "200": {
              "description": "How many were told to close.",
              "content": {
               "application/json": {
                "schema": {
                 "type": "object",
                 "additionalProperties": false,
                 "required": [
                  "closed"
                 ],
                 "properties": {
                  "closed": {
                   "type": "integer"
                  }
                 }
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "500": {
              "description": "The database failed; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "507": {
              "description": "The database takes no more; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            },
            "parameters": [
             {
              "name": "token",
              "in": "query",
              "schema": {
               "type": "string"
              },
              "description": "Identifier of the token."
             },
             {
              "name": "subject",
              "in": "query",
              "schema": {
               "type": "string"
              },
              "description": "Subject of the token."
             },
             {
              "name": "route",
              "in": "query",
              "schema": {
               "type": "string"
              },
              "description": "Host and path of the route."
             },
             {
              "name": "transport",
              "in": "query",
              "schema": {
               "type": "string",
               "enum": [
                "websocket",
                "long-poll"
               ]
              },
              "description": "How the client is attached."
             },
             {
              "name": "address",
              "in": "query",
              "schema": {
               "type": "string"
              },
              "description": "Address of the client."
             },
             {
              "name": "upstream",
              "in": "query",
              "schema": {
               "type": "string"
              },
              "description": "Name of the upstream."
             },
             {
              "name": "code",
              "in": "query",
              "schema": {
               "type": "integer",
               "default": 1001,
               "oneOf": [
                {
                 "minimum": 1000,
                 "maximum": 1001
                },
                {
                 "minimum": 3000,
                 "maximum": 4999
                }
               ]
              },
              "description": "Close code: 1000, 1001, or 3000 to 4999."
             },
             {
              "name": "reason",
              "in": "query",
              "schema": {
               "type": "string",
               "maxLength": 30
              },
              "description": "Reason of the close frame, at most 123 bytes."
             }
            ]
           }
          },
          "/v1/sessions/{id}": {
           "parameters": [
            {
             "name": "id",
             "in": "path",
             "required": true,
             "schema": {
              "type": "string",
              "minLength": 1
             }
            }
           ],
           "get": {
            "operationId": "getSession",
            "summary": "One live session",
            "tags": [
             "sessions"
            ],
            "responses": {
             "200": {
              "description": "The session.",
              "content": {
               "application/json": {
                "schema": {
                 "$ref": "#/components/schemas/Session"
                }
               }
              }
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "404": {
              "description": "There is no such thing.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            }
           },
           "delete": {
            "operationId": "closeSession",
            "summary": "Close a session",
            "tags": [
             "sessions"
            ],
            "responses": {
             "204": {
              "description": "It was told to close."
             },
             "400": {
              "description": "The request is not valid; `errors` names each member.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "401": {
              "description": "The admin token is missing or wrong.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "403": {
              "description": "The Host or the Origin is not allowed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "404": {
              "description": "There is no such thing.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "431": {
              "description": "The header section is too large.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "500": {
              "description": "The database failed; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             },
             "507": {
              "description": "The database takes no more; nothing has changed.",
              "content": {
               "application/problem+json": {
                "schema": {
                 "$ref": "#/components/schemas/Problem"
                }
               }
              }
             }
            },
            "parameters": [
             {
              "name": "code",
              "in": "query",
              "schema": {
               "type": "integer",
               "default": 1001,
               "oneOf": [
                {
                 "minimum": 1000,
                 "maximum": 1001
                },
                {
                 "minimum": 3000,
                 "maximum": 4999
                }
               ]
              },
              "description": "Close code: 1000, 1001, or 3000 to 4999."
             },
             {
              "name": "reason",
              "in": "query",
              "schema": {
               "type": "string",
               "maxLength": 30
              },
              "description": "Reason of the close frame, at most 123 bytes."
             }
            ]
           }
          }
         },
         "components": {
          "securitySchemes": {
           "admin": {
            "type": "http",
            "scheme": "bearer",
            "description": "The token in `admin.token_file`, or of CULVERT_ADMIN_TOKEN."
           }
          },
          "schemas": {
           "Problem": {
            "type": "object",
            "additionalProperties": false,
            "required": [
             "type",
             "title",
             "status",
             "detail"
            ],
            "properties": {
             "type": {
              "type": "string"
             },
             "title": {
              "type": "string"
             },
             "status": {
              "type": "integer"
             },
             "detail": {
              "type": "string"
             },
             "errors": {
              "type": "array",
              "items": {
               "type": "object",
               "additionalProperties": false,
               "required": [
                "pointer",
                "detail"
               ],
               "properties": {
                "pointer": {
                 "type": "string"
                },
                "detail": {
                 "type": "string"
                }
               }
              }
             }
            }
           },
           "Health": {
            "type": "object",
            "additionalProperties": false,
            "required": [
             "status",
             "sessions"
            ],
            "properties": {
             "status": {
              "type": "string",
              "enum": [
               "ok",
               "draining"
              ]
             },
             "sessions": {
              "type": "integer"
             }
            }
           },
           "Token": {
            "type": "object",
            "additionalProperties": false,
            "required": [
             "id",
             "source",
             "subject",
             "routes",
             "origins",
             "not_before",
             "expires",
             "limits",
             "note",
             "created_at",
             "rotated_at",
             "revoked_at",
             "revoked_reason",
             "secrets"
            ],
            "properties": {
             "id": {
              "type": "string"
             },
             "source": {
              "type": "string",
              "enum": [
               "config",
               "store"
              ]
             },
             "subject": {
              "type": "string"
             },
             "routes": {
              "type": "array",
              "items": {
               "type": "string"
              }
             },
             "origins": {
              "type": [
               "array",
               "null"
              ],
              "items": {
               "type": "string"
              }
             },
             "not_before": {
              "type": [
               "string",
               "null"
              ],
              "format": "date-time"
             },
             "expires": {
              "type": [
               "string",
               "null"
              ],
              "format": "date-time"
             },
             "limits": {
              "type": "object",
              "additionalProperties": false,
              "required": [
               "sessions",
               "messages_per_second"
              ],
              "properties": {
               "sessions": {
                "type": [
                 "integer",
                 "null"
                ]
               },
               "messages_per_second": {
                "type": [
                 "integer",
                 "null"
                ]
               }
              }
             },
             "note": {
              "type": "string"
             },
             "created_at": {
              "type": [
               "string",
               "null"
              ],
              "format": "date-time"
             },
             "rotated_at": {
              "type": [
               "string",
               "null"
              ],
              "format": "date-time"
             },
             "revoked_at": {
              "type": [
               "string",
               "null"
              ],
              "format": "date-time"
             },
             "revoked_reason": {
              "type": [
               "string",
               "null"
              ]
             },
             "secrets": {
              "type": "array",
              "items": {
               "type": "object",
               "additionalProperties": false,
               "required": [
                "generation",
                "until"
               ],
               "properties": {
                "generation": {
                 "type": "integer"
                },
                "until": {
                 "type": [
                  "string",
                  "null"
                 ],
                 "format": "date-time"
                }
               }
              }
             }
            }
           },
           "MintedToken": {
            "type": "object",
            "additionalProperties": false,
            "required": [
             "id",
             "source",
             "subject",
             "routes",
             "origins",
             "not_before",
             "expires",
             "limits",
             "note",
             "created_at",
             "rotated_at",
             "revoked_at",
             "revoked_reason",
             "secrets",
             "secret"
            ],
            "properties": {
             "id": {
              "type": "string"
             },
             "source": {
              "type": "string",
              "enum": [
               "config",
               "store"
              ]
             },
             "subject": {
              "type": "string"
             },
             "routes": {
              "type": "array",
              "items": {
               "type": "string"
              }
             },
             "origins": {
              "type": [
               "array",
               "null"
              ],
              "items": {
               "type": "string"
              }
             },
             "not_before": {
              "type": [
               "string",
               "null"
              ],
              "format": "date-time"
             },
             "expires": {
              "type": [
               "string",
               "null"
              ],
              "format": "date-time"
             },
             "limits": {
              "type": "object",
              "additionalProperties": false,
              "required": [
               "sessions",
               "messages_per_second"
              ],
              "properties": {
               "sessions": {
                "type": [
                 "integer",
                 "null"
                ]
               },
               "messages_per_second": {
                "type": [
                 "integer",
                 "null"
                ]
               }
              }
             },
             "note": {
              "type": "string"
             },
             "created_at": {
              "type": [
               "string",
               "null"
              ],
              "format": "date-time"
             },
             "rotated_at": {
              "type": [
               "string",
               "null"
              ],
              "format": "date-time"
             },
             "revoked_at": {
              "type": [
               "string",
               "null"
              ],
              "format": "date-time"
             },
             "revoked_reason": {
              "type": [
               "string",
               "null"
              ]
             },
             "secrets": {
              "type": "array",
              "items": {
               "type": "object",
               "additionalProperties": false,
               "required": [
                "generation",
                "until"
               ],
               "properties": {
                "generation": {
                 "type": "integer"
                },
                "until": {
                 "type": [
                  "string",
                  "null"
                 ],
                 "format": "date-time"
                }
               }
              }
             },
             "secret": {
              "type": "string",
              "pattern": "^cvt_"
             }
            }
           },
           "TokenRequest": {
            "type": "object",
            "additionalProperties": false,
            "required": [
             "subject",
             "routes"
            ],
            "properties": {
             "id": {
              "type": [
               "string",
               "null"
              ],
              "pattern": "^[A-Za-z0-9._-]{1,128}$"
             },
             "subject": {
              "type": "string",
              "pattern": "^[ -~]{1,256}$"
             },
             "routes": {
              "type": "array",
              "minItems": 1,
              "maxItems": 64,
              "items": {
               "type": "string",
               "pattern": "^/",
               "maxLength": 1024
              },
              "description": "Path prefixes, on segment borders, without dot segments."
             },
             "origins": {
              "type": [
               "array",
               "null"
              ],
              "minItems": 1,
              "maxItems": 64,
              "items": {
               "type": "string",
               "maxLength": 512
              },
              "description": "Narrows the allowlist of the route; null does not."
             },
             "not_before": {
              "type": [
               "string",
               "null"
              ],
              "format": "date-time"
             },
             "expires": {
              "type": [
               "string",
               "null"
              ],
              "format": "date-time"
             },
             "limits": {
              "type": [
               "object",
               "null"
              ],
              "additionalProperties": false,
              "description": "null is no limit.",
              "properties": {
               "sessions": {
                "type": [
                 "integer",
                 "null"
                ],
                "minimum": 1,
                "maximum": 1000000
               },
               "messages_per_second": {
                "type": [
                 "integer",
                 "null"
                ],
                "minimum": 1,
                "maximum": 1000000
               }
              }
             },
             "note": {
              "type": [
               "string",
               "null"
              ],
              "maxLength": 1024
             }
            }
           },
           "TokenPatch": {
            "type": "object",
            "additionalProperties": false,
            "required": [],
            "properties": {
             "routes": {
              "type": "array",
              "minItems": 1,
              "maxItems": 64,
              "items": {
               "type": "string",
               "pattern": "^/",
               "maxLength": 1024
              },
              "description": "Path prefixes, on segment borders, without dot segments."
             },
             "origins": {
              "type": [
               "array",
               "null"
              ],
              "minItems": 1,
              "maxItems": 64,
              "items": {
               "type": "string",
               "maxLength": 512
              },
              "description": "Narrows the allowlist of the route; null does not."
             },
             "not_before": {
              "type": [
               "string",
               "null"
              ],
              "format": "date-time"
             },
             "expires": {
              "type": [
               "string",
               "null"
              ],
              "format": "date-time"
             },
             "limits": {
              "type": [
               "object",
               "null"
              ],
              "additionalProperties": false,
              "description": "null is no limit.",
              "properties": {
               "sessions": {
                "type": [
                 "integer",
                 "null"
                ],
                "minimum": 1,
                "maximum": 1000000
               },
               "messages_per_second": {
                "type": [
                 "integer",
                 "null"
                ],
                "minimum": 1,
                "maximum": 1000000
               }
              }
             },
             "note": {
              "type": [
               "string",
               "null"
              ],
              "maxLength": 1024
             }
            }
           },
           "Rotation": {
            "type": "object",
            "additionalProperties": false,
            "required": [],
            "properties": {
             "overlap": {
              "type": [
               "string",
               "null"
              ],
              "pattern": "^[0-9]{1,3}(s|m|h)$",
              "description": "How long the secrets before stay valid: 0s to 8760h; 24h when it is not given."
             }
            }
           },
           "Revocation": {
            "type": "object",
            "additionalProperties": false,
            "required": [],
            "properties": {
             "reason": {
              "type": [
               "string",
               "null"
              ],
              "maxLength": 1024
             }
            }
           },
           "JWTRevocationRequest": {
            "type": "object",
            "additionalProperties": false,
            "required": [
             "until"
            ],
            "properties": {
             "jti": {
              "type": "string",
              "minLength": 1,
              "maxLength": 64
             },
             "subject": {
              "type": "string",
              "minLength": 1,
              "maxLength": 64
             },
             "before": {
              "type": [
               "string",
               "null"
              ],
              "format": "date-time"
             },
             "until": {
              "type": "string",
              "format": "date-time"
             }
            },
            "oneOf": [
             {
              "required": [
               "jti"
              ]
             },
             {
              "required": [
               "subject"
              ]
             }
            ]
           },
           "JWTRevocation": {
            "type": "object",
            "additionalProperties": false,
            "required": [
             "until"
            ],
            "properties": {
             "jti": {
              "type": "string"
             },
             "subject": {
              "type": "string"
             },
             "before": {
              "type": "string",
              "format": "date-time"
             },
             "until": {
              "type": "string",
              "format": "date-time"
             }
            }
           },
           "Session": {
            "type": "object",
            "additionalProperties": false,
            "required": [
             "id",
             "token",
             "subject",
             "route",
             "transport",
             "address",
             "upstream",
             "opened_at",
             "messages_in",
             "messages_out",
             "bytes_in",
             "bytes_out"
            ],
            "properties": {
             "id": {
              "type": "string"
             },
             "token": {
              "type": [
               "string",
               "null"
              ]
             },
             "subject": {
              "type": [
               "string",
               "null"
              ]
             },
             "route": {
              "type": "string"
             },
             "transport": {
              "type": "string",
              "enum": [
               "websocket",
               "long-poll"
              ]
             },
             "address": {
              "type": "string"
             },
             "upstream": {
              "type": "string"
             },
             "opened_at": {
              "type": "string",
              "format": "date-time"
             },
             "messages_in": {
              "type": "integer"
             },
             "messages_out": {
              "type": "integer"
             },
             "bytes_in": {
              "type": "integer"
             },
             "bytes_out": {
              "type": "integer"
             }
            }
           },
           "AuditEntry": {
            "type": "object",
            "additionalProperties": false,
            "required": [
             "id",
             "at",
             "actor",
             "address",
             "action",
             "target",
             "detail"
            ],
            "properties": {
             "id": {
              "type": "integer"
             },
             "at": {
              "type": "string",
              "format": "date-time"
             },
             "actor": {
              "type": "string"
             },
             "address": {
              "type": "string"
             },
             "action": {
              "type": "string"
             },
             "target": {
              "type": "string"
             },
             "detail": {
              "type": "string"
             }
            }
           }
          }
         }
        }
        """#
}
